import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import { decodeValue, encodeValue, type StoredObject } from "../storage/stored-object.ts";
import { ResourceCache } from "./resource-cache.ts";
import { Watcher } from "./watcher.ts";
import { Watchers } from "./watchers.ts";

const prefix = "/registry/pods/";
const nodeOf = (object: object) => ({ "spec.nodeName": (object as { spec: { nodeName: string } }).spec.nodeName });
let revision = 0;
const pod = (name: string, nodeName: string) => {
  const object = { kind: "Pod", apiVersion: "v1", metadata: { name, namespace: "default" }, spec: { nodeName } };
  return decodeValue(`${prefix}${name}`, encodeValue(object), ++revision);
};

/** A watcher of Pods on one node, or of all, with what it got. */
function watcher(nodeName?: string) {
  const got: string[] = [];
  const sink = {
    send: (frames: readonly { type: string; object: { key?: string } }[]) =>
      frames.every(({ type, object }) => got.push(`${type} ${object.key}`)),
    end() {},
  };
  const selects = (object: StoredObject) => object.attributes(nodeOf).fields["spec.nodeName"] === nodeName;
  const scope = { prefix, exact: false };
  return { got, watcher: new Watcher(scope, nodeName === undefined ? undefined : selects, sink, 0) };
}
const narrow = (value: string) => ({ field: "spec.nodeName", value, fieldsOf: nodeOf });

describe("watchers found by a field's value", () => {
  test("get what they would get if every event were offered to them", () => {
    const step = fc.record({
      name: fc.constantFrom("a", "b", "c"),
      node: fc.constantFrom("", "n1", "n2", "n3"),
      deleted: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const cache = new ResourceCache(prefix);
        const watchers = new Watchers();
        const pairs = ["n1", "n2", "", undefined].map((node) => [watcher(node), watcher(node)] as const);
        for (const [i, [found]] of pairs.entries())
          watchers.add(found.watcher, i === 3 ? undefined : narrow(["n1", "n2", ""][i]!));
        for (const { name, node, deleted } of steps) {
          const event = deleted ? cache.delete(`${prefix}${name}`, ++revision) : cache.put(pod(name, node));
          if (event === undefined) continue;
          for (const one of watchers.of(event)) if (one.offer(event)) one.flush();
          for (const [, asked] of pairs) if (asked.watcher.offer(event)) asked.watcher.flush();
        }
        for (const [found, asked] of pairs) assert.deepEqual(found.got, asked.got);
      }),
    );
  });

  test("are not asked about what is none of theirs, and not after their end", () => {
    const watchers = new Watchers();
    const [one, other] = [watcher("n1").watcher, watcher("n2").watcher];
    watchers.add(one, narrow("n1"));
    watchers.add(other, narrow("n2"));
    const cache = new ResourceCache(prefix);
    assert.deepEqual([...watchers.of(cache.put(pod("a", "n1")))], [one]);
    assert.deepEqual([...watchers.of(cache.put(pod("a", "n2")))], [other, one], "it leaves the one for the other");
    one.end();
    assert.deepEqual([watchers.size, [...watchers.of(cache.put(pod("a", "n1")))]], [1, [other]]);
    const again = watcher("n1").watcher;
    watchers.add(again, narrow("n1"));
    assert.deepEqual([...watchers.of(cache.put(pod("a", "n1")))], [again]);
  });
});
