import { expect, test } from "vitest";
import { type Fault, Faults } from "../base/faults.ts";
import { seededRand } from "../base/rand.ts";
import { VirtualClock } from "../client/testing/virtual-clock.ts";
import { FaultyLink } from "./faulty-link.ts";

type Step =
  | { set: Fault }
  | { clear: boolean }
  | { send: string; way?: string }
  | { after: number }
  | { arrived: string[] };
const link = (fault: Partial<Fault> & Pick<Fault, "type">): Step => {
  return { set: { peer: "a", direction: "out", ...fault } as Fault };
};

const stories: [string, Step[]][] = [
  ["without faults bytes pass at once", [{ send: "x" }, { arrived: ["x"] }]],
  [
    "a delay keeps each back for so long",
    [
      link({ type: "delay", ms: 50 }),
      { send: "x" },
      { after: 30 },
      { send: "y" },
      { after: 20 },
      { arrived: ["x"] },
    ].concat([{ after: 29 }, { arrived: ["x"] }, { after: 1 }, { arrived: ["x", "y"] }]),
  ],
  [
    "what is late stays before what comes after the delay",
    [
      link({ type: "delay", ms: 50 }),
      { send: "x" },
      { clear: true },
      { send: "y" },
      { arrived: [] },
      { after: 50 },
    ].concat([{ arrived: ["x", "y"] }]),
  ],
  [
    "jitter never overtakes",
    [
      link({ type: "delay", ms: 10, jitterMs: 90 }),
      ...[..."abcdefgh"].map((send) => ({ send })),
      { after: 100 },
    ].concat([{ arrived: [..."abcdefgh"] }]),
  ],
  [
    "a throttle lets so many bytes a second pass",
    [
      link({ type: "throttle", bytesPerSecond: 10 }),
      { send: "12345" },
      { send: "6" },
      { after: 499 },
      { arrived: [] },
    ].concat([{ after: 1 }, { arrived: ["12345"] }, { after: 100 }, { arrived: ["12345", "6"] }]),
  ],
  [
    "what a throttle kept waiting goes at once when it is over",
    [link({ type: "throttle", bytesPerSecond: 1 }), { send: "12345" }, { clear: true }, { arrived: ["12345"] }],
  ],
  [
    "a stall keeps everything, in order, until it is over",
    [link({ type: "stall" }), { send: "x" }, { send: "y" }, { after: 9000 }, { arrived: [] }, { clear: true }].concat([
      { arrived: ["x", "y"] },
    ]),
  ],
  [
    "one way can be blocked while the other is open",
    [link({ type: "block" }), { send: "x" }, { send: "y", way: "in" }, { arrived: ["y"] }, { clear: true }].concat([
      { arrived: ["y", "x"] },
    ]),
  ],
  ["another peer's fault is not ours", [link({ type: "block", peer: "b" }), { send: "x" }, { arrived: ["x"] }]],
];

test.each(stories)("%s", async (_, steps) => {
  const [faults, clock] = [new Faults(), new VirtualClock()];
  const one = new FaultyLink(faults, ["a"], clock, seededRand(1));
  const arrived: string[] = [];
  for (const step of steps) {
    if ("set" in step) faults.set("f", step.set);
    else if ("clear" in step) faults.clear("*");
    else if ("send" in step)
      one.pass(step.way === "in" ? "in" : "out", Buffer.from(step.send), (bytes) => arrived.push(`${bytes}`));
    else if ("after" in step) await clock.advance(step.after);
    else expect(arrived).toEqual(step.arrived);
  }
});

test("a connection that is made while one way is blocked is dead both ways, until that is over", () => {
  const [faults, clock] = [new Faults(), new VirtualClock()];
  faults.set("f", { type: "block", peer: "a", direction: "in" });
  const one = new FaultyLink(faults, ["a"], clock);
  const arrived: string[] = [];
  one.pass("out", Buffer.from("hello"), (bytes) => arrived.push(`${bytes}`));
  faults.set("g", { type: "delay", peer: "a", direction: "out", ms: 0 });
  expect(arrived).toEqual([]);
  faults.clear("f");
  expect(arrived).toEqual(["hello"]);
});
