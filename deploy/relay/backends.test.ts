import { expect, test } from "vitest";
import { type Answer, Backends, checked, isIn } from "./backends.ts";

const three = () => new Backends([1, 2, 3].map((port) => ({ host: "h", port })));
const ports = (backends: Backends) => backends.next().map(({ port }) => port);

test("each is the first in turn, with the others after it", () => {
  const backends = three();
  expect([1, 2, 3, 4].map(() => ports(backends))).toEqual([
    [1, 2, 3],
    [2, 3, 1],
    [3, 1, 2],
    [1, 2, 3],
  ]);
});

test.each<[string, Answer[], boolean]>([
  ["one bad check is not enough", ["unwell"], true],
  ["two in a row are", ["silent", "unwell"], false],
  ["a good one between starts anew", ["silent", "well", "silent"], true],
  ["one good check brings it back", ["silent", "silent", "silent", "well"], true],
])("%s", (_, answers, isStillIn) => {
  const backends = three();
  for (const answer of answers) checked(backends.all[0]!, answer);
  expect(isIn(backends.all[0]!)).toBe(isStillIn);
  expect(ports(backends)).toEqual(isStillIn ? [1, 2, 3] : [2, 3, 1]);
});

test("who is out comes last, and when all are out all are tried", () => {
  const backends = three();
  for (const backend of backends.all) for (let i = 0; i < 2; i++) checked(backend, "silent");
  expect(ports(backends)).toEqual([1, 2, 3]);
  expect(ports(backends)).toEqual([2, 3, 1]);
});

test.each<[string, Answer, boolean]>([
  ["of one that falls silent are ended", "silent", true],
  ["of one that answers, but is not well, go on", "unwell", false],
])("connections %s", (_, answer, ended) => {
  const [backend] = three().all;
  let count = 0;
  backend!.connections.add({ destroy: () => count++ });
  expect([1, 2, 3].map(() => checked(backend!, answer))).toEqual([false, true, false]);
  expect(count).toBe(ended ? 1 : 0);
});
