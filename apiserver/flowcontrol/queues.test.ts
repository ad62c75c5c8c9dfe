import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { deal, FairQueues } from "./queues.ts";

/**
 * Scripts: `+a` a request of flow a arrives (`+a*3`: three seats wide), `-a` one of flow a that runs ends, `~a` the oldest
 * waiter of flow a gives up. Each answers what happened.
 */
function play(limit: number, queueLengthLimit: number, queues: number, script: string): string {
  const flows = new FairQueues<{ flow: string; width: number }>(
    limit,
    queues ? { queues, handSize: 1, queueLengthLimit } : undefined,
  );
  const running: { flow: string; width: number }[] = [];
  const waiting: typeof running = [];
  const take = (from: typeof running, flow: string) =>
    from.splice(
      from.findIndex((one) => one.flow === flow),
      1,
    )[0]!;
  return script
    .split(" ")
    .map((word) => {
      const [, sign, flow, width] = /^([-+~])(\w)(?:\*(\d))?$/.exec(word)!;
      if (sign === "+") {
        const one = { flow: flow!, width: Number(width ?? 1) };
        const arrival = flows.arrive(one, () => BigInt(flow!.charCodeAt(0) - 97));
        if (arrival === "run") running.push(one);
        else if (arrival === "wait") waiting.push(one);
        return arrival;
      }
      if (sign === "-") flows.finished(take(running, flow!));
      else flows.abandon(take(waiting, flow!));
      const next = flows.next();
      for (const one of next) running.push(waiting.splice(waiting.indexOf(one), 1)[0]!);
      return `[${next.map((one) => one.flow).join("")}]`;
    })
    .join(" ");
}

const rows: [string, number, number, number, string, string][] = [
  ["what finds a seat runs, the next waits and has the seat when it is free", 1, 9, 4, "+a +b -a", "run wait [b]"],
  ["a level without queues refuses what finds no seat", 1, 9, 0, "+a +b -a +b", "run concurrency-limit [] run"],
  ["a full queue refuses, another flow's takes", 1, 1, 4, "+a +a +a +b", "run wait queue-full wait"],
  [
    "a flow with many waiters does not hold up a flow with one",
    1,
    9,
    4,
    "+a +a +a +a +b -a -a -b -a",
    "run wait wait wait wait [a] [b] [a] [a]",
  ],
  ["who gave up is not started", 1, 9, 4, "+a +b +c ~b -a", "run wait wait [] [c]"],
  ["a wide one waits until it fits, and nobody overtakes it", 3, 9, 4, "+a +a*3 +b -a -a", "run wait wait [a] [b]"],
  ["one that is wider than the level takes it all", 2, 9, 4, "+a*9 +b -a", "run wait [b]"],
  ["when a wide one gives up, those behind it start", 2, 9, 4, "+a +b*2 +c ~b", "run wait wait [c]"],
  [
    "a wide flow's turn comes less often",
    2,
    9,
    4,
    "+a*2 +a*2 +a*2 +b +b +b -a -a",
    "run wait wait wait wait wait [a] [bb]",
  ],
];

for (const [name, limit, length, queues, script, expected] of rows)
  test(name, () => assert.equal(play(limit, length, queues, script), expected));

test("a hand has different queues, each below their number, the same for the same flow", () => {
  fc.assert(
    fc.property(
      fc.bigInt(0n, 2n ** 64n - 1n),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 10 }),
      (hash, deck, size) => {
        const hand = deal(hash, deck, size);
        assert.equal(new Set(hand).size, Math.min(size, deck));
        assert.ok(hand.every((card) => card >= 0 && card < deck));
        assert.deepEqual(deal(hash, deck, size), hand);
      },
    ),
  );
});

test("seats are never more than the limit, and none is lost", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ width: fc.integer({ min: 1, max: 4 }), flow: fc.nat(20), end: fc.boolean() })),
      (steps) => {
        const flows = new FairQueues<{ width: number }>(5, { queues: 8, handSize: 2, queueLengthLimit: 3 });
        const running: { width: number }[] = [];
        for (const { width, flow, end } of steps) {
          const one = { width };
          if (flows.arrive(one, () => BigInt(flow * 7919)) === "run") running.push(one);
          if (end && running.length > 0) flows.finished(running.shift()!);
          running.push(...flows.next());
          assert.ok(flows.seats <= 5);
          assert.equal(
            flows.seats,
            running.reduce((sum, { width }) => sum + width, 0),
          );
        }
        while (running.length > 0) {
          flows.finished(running.shift()!);
          running.push(...flows.next());
        }
        assert.deepEqual([flows.seats, flows.waiting], [0, 0]);
      },
    ),
  );
});
