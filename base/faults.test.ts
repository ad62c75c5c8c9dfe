import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "vitest";
import { type Clock, systemClock } from "./clock.ts";
import { askFaults, type Fault, Faults, faultyClock, type LinkState, serveFaults } from "./faults.ts";

describe("what a link suffers", () => {
  const cut = (direction: "in" | "out" | "both", peer = "m2"): Fault => ({ type: "block", peer, direction });
  const slow = (ms: number, peer = "m2"): Fault => ({ type: "delay", peer, direction: "both", ms });
  const narrow = (bytesPerSecond: number): Fault => {
    return { type: "throttle", peer: "m2", direction: "out", bytesPerSecond };
  };
  const cases: [string, Fault[], "in" | "out", Partial<LinkState>][] = [
    ["nothing, when nothing is set", [], "out", {}],
    ["a block of its direction", [cut("out")], "out", { blocked: true }],
    ["not a block of the other direction", [cut("in")], "out", {}],
    ["a block of both directions", [cut("both")], "in", { blocked: true }],
    ["a block of everybody", [cut("both", "*")], "in", { blocked: true }],
    ["a block by its id", [cut("both", "a1b2")], "in", { blocked: true }],
    ["not a block of another peer", [cut("both", "m3")], "in", {}],
    ["the sum of all delays", [slow(20), slow(5, "*"), slow(100, "m3")], "in", { delayMs: 25 }],
    ["the narrowest of all throttles", [narrow(50), narrow(9), narrow(20)], "out", { bytesPerSecond: 9 }],
    ["a stall, which is no block", [{ type: "stall", peer: "*", direction: "in" }], "in", { stalled: true }],
    ["not what a disk suffers", [{ type: "slow-sync", ms: 7 }], "in", {}],
  ];
  test.each(cases)("%s", (_, set, direction, wanted) => {
    const faults = new Faults();
    for (const [i, fault] of set.entries()) faults.set(`${i}`, fault);
    assert.deepEqual(faults.link(["m2", "a1b2"], direction), { ...new Faults().link([], "in"), ...wanted });
  });
});

describe("a line that is refused", () => {
  const cases: [string, string][] = [
    ["{", "Expected property name"],
    ["{}", 'a request has "set" and "fault", "clear", or "list"'],
    ['{"set":"a","fault":{"type":"flood"}}', 'no fault is called "flood"'],
    ['{"set":"a"}', "no fault is called undefined"],
    ['{"set":"a","fault":{"type":"block"}}', '"peer" is a name, an id or "*"'],
    ['{"set":"a","fault":{"type":"block","peer":"m","direction":"up"}}', '"direction" is in, out or both'],
    ['{"set":"a","fault":{"type":"slow-sync","ms":-1}}', '"ms" is a number from 0 to 3600000'],
  ];
  test.each(cases)("%s", (line, why) => {
    const faults = new Faults();
    const answer = faults.answer(line);
    assert.ok(!answer.ok && answer.error.startsWith(why), JSON.stringify(answer));
    assert.equal(faults.size, 0);
  });
});

test("over the socket: set, replace, list, clear; only the user may open it; what a killed process left is replaced", async () => {
  const dir = mkdtempSync(join(tmpdir(), "faults-"));
  const path = join(dir, "f.sock");
  writeFileSync(path, "left over");
  const faults = new Faults();
  const server = await serveFaults(path, faults);
  try {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const changes: string[][] = [];
    faults.onChange((set) => changes.push([...set.keys()]));
    await askFaults(path, { set: "a", fault: { type: "slow-sync", ms: 50 } });
    await askFaults(path, { set: "a", fault: { type: "slow-sync", ms: 70 } });
    const two = await askFaults(path, { set: "b", fault: { type: "full-disk" } });
    assert.deepEqual(two, { a: { type: "slow-sync", ms: 70 }, b: { type: "full-disk" } });
    assert.deepEqual(faults.disk, { syncDelayMs: 70, syncFails: false, full: true });
    assert.deepEqual(await askFaults(path, { clear: "a" }), { b: { type: "full-disk" } });
    assert.deepEqual(await askFaults(path, { list: true }), { b: { type: "full-disk" } });
    assert.deepEqual(await askFaults(path, { clear: "*" }), {});
    assert.deepEqual(changes, [["a"], ["a"], ["a", "b"], ["b"], []]);
    await assert.rejects(
      askFaults(path, { set: "a", fault: { type: "flood" } as never }),
      /no fault is called "flood"/,
    );
  } finally {
    server.close();
    rmSync(dir, { recursive: true });
  }
  await assert.rejects(askFaults(path, { list: true }), /ENOENT/);
});

test("a wall clock jumps and drifts, durations do not, and clearing sets it right", () => {
  let monotonic = 1000;
  const real: Clock = { ...systemClock, now: () => 50_000 + monotonic, monotonic: () => monotonic };
  const faults = new Faults(() => monotonic);
  const clock = faultyClock(real, faults);
  faults.set("jump", { type: "clock", offsetMs: -7000, rate: 1 });
  assert.equal(clock.now(), 44_000);
  faults.set("drift", { type: "clock", offsetMs: 0, rate: 1.5 });
  monotonic += 200;
  assert.equal(clock.now(), 44_200 + 100);
  assert.equal(clock.monotonic(), 1200);
  faults.clear("*");
  assert.equal(clock.now(), 51_200);
});
