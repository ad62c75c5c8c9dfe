import { afterEach, describe, expect, test, vi } from "vitest";
import { conflict, serviceUnavailable } from "../apimachinery/status.ts";
import { silentLogger } from "../base/logger.ts";
import { settle, VirtualClock } from "../client/testing/virtual-clock.ts";
import { type Controller, type RequeueAfter, Runner } from "./runner.ts";

interface Act {
  type: "Act";
  what: string;
}

const stopping = new Set<AbortController>();
afterEach(() => {
  for (const controller of stopping) controller.abort();
});

function start(controller: Partial<Controller<string, Act>> & Pick<Controller<string, Act>, "reconcile">) {
  const clock = new VirtualClock();
  const done: string[] = [];
  const runner = new Runner<string, Act>(
    {
      name: "test",
      gather: (key) => key,
      async execute({ what }) {
        done.push(what);
      },
      ...controller,
    },
    { clock, log: silentLogger },
  );
  const stop = new AbortController();
  stopping.add(stop);
  const ended = runner.run(stop.signal);
  ended.catch(() => {});
  return { clock, done, queue: runner.queue, writes: runner.writes, stop, ended };
}

const act = (what: string): Act => ({ type: "Act", what });

describe("Runner", () => {
  test("does what the reconciler says, in its order", async () => {
    const { queue, done } = start({ reconcile: (key) => [act(`${key}1`), act(`${key}2`)] });
    queue.add("a");
    await settle();
    expect(done).toEqual(["a1", "a2"]);
  });

  test("does nothing where there is nothing to decide on", async () => {
    const { queue, done } = start({ gather: () => undefined, reconcile: () => [act("x")] });
    queue.add("a");
    await settle();
    expect(done).toEqual([]);
  });

  test.each([serviceUnavailable("down"), conflict({ group: "", resource: "pods" }, "p")])(
    "after %s the key is tried again, gathered and decided on anew",
    async (error) => {
      let tries = 0;
      const { clock, queue, done } = start({
        reconcile: () => [act(`try ${++tries}`)],
        async execute({ what }) {
          done.push(what);
          if (tries < 3) throw error;
        },
      });
      queue.add("a");
      await clock.advance(4);
      expect(done).toEqual(["try 1"]);
      await clock.advance(1 + 10);
      expect(done).toEqual(["try 1", "try 2", "try 3"]);
      await clock.advance(60_000);
      expect(tries).toBe(3);
    },
  );

  test("what comes after a failed action is not done", async () => {
    const { queue, done } = start({
      reconcile: () => [act("fails"), act("never")],
      async execute({ what }) {
        if (what === "fails") throw serviceUnavailable("down");
        done.push(what);
      },
    });
    queue.add("a");
    await settle();
    expect(done).toEqual([]);
  });

  test("looks again when the reconciler asks for it", async () => {
    const again: RequeueAfter = { type: "RequeueAfter", ms: 100 };
    let looks = 0;
    const { clock, queue } = start({ reconcile: () => (++looks === 1 ? [again] : []) });
    queue.add("a");
    await clock.advance(99);
    expect(looks).toBe(1);
    await clock.advance(1);
    expect(looks).toBe(2);
  });

  test("does not decide while own writes are not visible, and looks again even if no event comes", async () => {
    let visible = false;
    const { clock, queue, done, writes } = start({ reconcile: (key) => [act(key)] });
    vi.spyOn(writes, "allVisible").mockImplementation(() => visible);
    queue.add("a");
    await clock.advance(500);
    expect(done).toEqual([]);
    visible = true;
    await clock.advance(500);
    expect(done).toEqual(["a"]);
  });

  test("a mistake of ours ends it, so that the process ends", async () => {
    const { queue, ended } = start({
      reconcile() {
        throw new TypeError("undefined is not an object");
      },
    });
    queue.add("a");
    await expect(ended).rejects.toThrow(TypeError);
  });

  test("ends when told to", async () => {
    const { ended, stop } = start({ reconcile: () => [] });
    stop.abort();
    await ended;
  });
});
