import fc from "fast-check";
import { expect, test } from "vitest";
import { RingMap } from "./ring-map.ts";

test("whatever is added and taken out, it is what a Map would be", () => {
  const step = fc.record({ add: fc.boolean(), which: fc.nat(), skip: fc.nat(5) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const ring = new RingMap<string>(4);
      const map = new Map<number, string>();
      let next = 0;
      for (const { add, which, skip } of steps) {
        if (add) {
          next += 1 + skip;
          ring.add(next, `value ${next}`);
          map.set(next, `value ${next}`);
        } else {
          const keys = [...map.keys(), next + 7];
          const key = keys[which % keys.length]!;
          expect(ring.get(key)).toBe(map.get(key));
          ring.delete(key);
          map.delete(key);
        }
        expect(ring.size).toBe(map.size);
      }
      expect(ring.entries().sort(([a], [b]) => a - b)).toEqual([...map].sort(([a], [b]) => a - b));
      for (const key of map.keys()) expect(ring.get(key)).toBe(map.get(key));
    }),
  );
});

test("cleared, it is empty, and goes on", () => {
  const ring = new RingMap<number>(4);
  for (let key = 0; key < 20; key++) ring.add(key, key);
  ring.clear();
  expect([ring.size, ring.get(3), ring.values()]).toEqual([0, undefined, []]);
  ring.add(21, 21);
  expect(ring.values()).toEqual([21]);
});
