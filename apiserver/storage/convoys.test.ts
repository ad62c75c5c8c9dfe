import { beforeEach, expect, test } from "vitest";
import { VirtualClock } from "../../lab/sim/virtual-clock.ts";
import { Convoys } from "./convoys.ts";

let clock: VirtualClock;
let convoys: Convoys;
/** Writes in the order in which they left. */
let left: string[];
let answers: Map<string, { resolve(): void; reject(error: Error): void }>;
let sent: Map<string, Promise<string>>;

beforeEach(() => {
  clock = new VirtualClock();
  convoys = new Convoys(clock);
  left = [];
  answers = new Map();
  sent = new Map();
});

function send(...names: string[]): void {
  for (const name of names) {
    const write = () =>
      new Promise<string>((resolve, reject) => {
        left.push(name);
        answers.set(name, { resolve: () => resolve(name), reject });
      });
    sent.set(name, convoys.send(write));
  }
}

async function answer(name: string): Promise<void> {
  answers.get(name)!.resolve();
  await sent.get(name);
  await clock.run(clock.monotonic());
}

test("a write that comes alone leaves at once, and so does the next when it has its answer", async () => {
  send("a");
  expect(left).toEqual(["a"]);
  await answer("a");
  send("b");
  expect(left).toEqual(["a", "b"]);
});

test("those that come meanwhile leave together, at the first answer to those before them", async () => {
  send("a", "b", "c");
  expect(left).toEqual(["a"]);
  await answer("a");
  expect(left).toEqual(["a", "b", "c"]);
  send("d");
  await answer("c");
  expect(left).toEqual(["a", "b", "c", "d"]);
  await answer("b"); // of a convoy that has had its answer: tells nothing of the one under way
  send("e");
  expect(left).toEqual(["a", "b", "c", "d"]);
});

test("a write that fails holds up nobody, and fails for who sent it", async () => {
  send("a", "b");
  answers.get("a")!.reject(new Error("no leader"));
  await expect(sent.get("a")).rejects.toThrow("no leader");
  await answer("b");
});

test("nor does one without an answer, for longer than ten milliseconds", async () => {
  send("a", "b");
  await clock.run(9);
  expect(left).toEqual(["a"]);
  await clock.run(10);
  expect(left).toEqual(["a", "b"]);
  send("c");
  await answer("a"); // late
  expect(left).toEqual(["a", "b"]);
  await clock.run(20);
  expect(left).toEqual(["a", "b", "c"]);
});
