import { describe, expect, test } from "vitest";
import { VirtualClock } from "./testing/virtual-clock.ts";
import { Workqueue } from "./workqueue.ts";

function setUp() {
  const clock = new VirtualClock();
  return { clock, queue: new Workqueue(clock) };
}

async function take(queue: Workqueue): Promise<string | undefined> {
  return Promise.race([queue.get(), new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))]);
}

describe("Workqueue", () => {
  test("hands out keys first come, first served", async () => {
    const { queue } = setUp();
    for (const key of ["a", "b", "a", "c"]) queue.add(key);
    expect([await queue.get(), await queue.get(), await queue.get()]).toEqual(["a", "b", "c"]);
  });

  test("hands out a key once however often it was added", async () => {
    const { queue } = setUp();
    queue.add("a");
    queue.add("a");
    await queue.get();
    queue.done("a");
    expect(queue.length).toBe(0);
  });

  test("never gives one key to two workers; a key added meanwhile comes again after done", async () => {
    const { queue } = setUp();
    queue.add("a");
    expect(await queue.get()).toBe("a");
    queue.add("a");
    expect(queue.length).toBe(0);
    queue.done("a");
    expect(await queue.get()).toBe("a");
  });

  test("a waiting worker gets the key at once, and owns it", async () => {
    const { queue } = setUp();
    const waiting = queue.get();
    queue.add("a");
    queue.add("a");
    expect(await waiting).toBe("a");
    expect(queue.length).toBe(0);
    queue.done("a");
    expect(await queue.get()).toBe("a");
  });

  test("failures of one key wait 5, 10, 20 ms, until it is forgotten", async () => {
    const { clock, queue } = setUp();
    for (const delay of [5, 10, 20]) {
      queue.addRateLimited("a");
      await clock.advance(delay - 1);
      expect(queue.length).toBe(0);
      await clock.advance(1);
      expect(await queue.get()).toBe("a");
      queue.done("a");
    }
    queue.forget("a");
    queue.addRateLimited("a");
    await clock.advance(5);
    expect(await queue.get()).toBe("a");
  });

  test("the wait between failures ends at the maximum", async () => {
    const clock = new VirtualClock();
    const queue = new Workqueue(clock, { maxDelayMs: 100 });
    for (let i = 0; i < 10; i++) {
      queue.addRateLimited("a");
      await clock.advance(100);
      expect(await queue.get()).toBe("a");
      queue.done("a");
    }
  });

  test("of two delayed adds the earlier one counts, once", async () => {
    const { clock, queue } = setUp();
    queue.addAfter("a", 100);
    queue.addAfter("a", 50);
    queue.addAfter("a", 80);
    await clock.advance(50);
    expect(await queue.get()).toBe("a");
    queue.done("a");
    await clock.advance(1000);
    expect(queue.length).toBe(0);
  });

  test("after shutDown workers get undefined and nothing is added", async () => {
    const { clock, queue } = setUp();
    const waiting = queue.get();
    queue.shutDown();
    queue.add("a");
    queue.addAfter("b", 1);
    await clock.advance(10);
    expect(await waiting).toBe(undefined);
    expect(await take(queue)).toBe(undefined);
  });
});
