import fc from "fast-check";
import { expect, test } from "vitest";
import {
  compact,
  createLog,
  entriesFrom,
  entriesOf,
  lastIndex,
  lastTerm,
  markApplied,
  merge,
  slice,
  termAt,
} from "./log.ts";
import type { Entry } from "./types.ts";

const entry = (index: number, term: number): Entry => ({
  index,
  term,
  type: index % 5 === 0 ? 1 : 0,
  data: Buffer.from(`entry ${index} of ${term}`),
});
const plain = (entries: readonly Entry[]) => entries.map((e) => ({ ...e, data: Buffer.from(e.data).toString() }));

test("packed or not, a log reads as the list of its entries", () => {
  const step = fc.record({
    what: fc.constantFrom("append", "merge", "apply", "compact"),
    by: fc.nat(20),
    pack: fc.integer({ min: 1, max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const log = createLog({ index: 3, term: 1 }, [], 3, 3);
      let list: Entry[] = [];
      let term = 1;
      for (const { what, by, pack } of steps) {
        const last = lastIndex(log);
        if (what === "append") {
          const more = Array.from({ length: by }, (_, i) => entry(last + 1 + i, term));
          log.tail.push(...more);
          list.push(...more);
        } else if (what === "merge") {
          term++;
          const from = log.committed + 1 + (last > log.committed ? by % (last - log.committed) : 0);
          const more = [entry(from, term), entry(from + 1, term)];
          merge(log, more);
          list = [...list.filter(({ index }) => index < from), ...more];
        } else if (what === "apply") {
          const to = Math.min(last, log.applied + by);
          Object.assign(log, { committed: Math.max(log.committed, to), delivered: to });
          markApplied(log, to, pack);
        } else {
          const to = Math.min(log.applied, log.start.index + by);
          compact(log, to);
          list = list.filter(({ index }) => index > to);
        }
        expect(plain(entriesOf(log))).toEqual(plain(list));
        expect(lastTerm(log)).toBe(list.at(-1)?.term ?? log.start.term);
        for (const { index, term } of list) expect(termAt(log, index)).toBe(term);
        expect([termAt(log, log.start.index - 1), termAt(log, lastIndex(log) + 1)]).toEqual([undefined, undefined]);
        const middle = list[Math.floor(list.length / 2)]?.index;
        if (middle === undefined) continue;
        const rest = list.filter(({ index }) => index >= middle);
        expect(plain(slice(log, middle, lastIndex(log)))).toEqual(plain(rest));
        expect(plain(entriesFrom(log, middle, 40))).toEqual(
          plain(rest.slice(0, Math.max(1, entriesFrom(log, middle, 40).length))),
        );
      }
    }),
  );
});
