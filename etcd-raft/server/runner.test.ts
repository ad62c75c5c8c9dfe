import { expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { seededRand } from "../../base/rand.ts";
import { confOf } from "../raft/conf.ts";
import { createRaft } from "../raft/raft.ts";
import type { Entry, HardState, Message } from "../raft/types.ts";
import { Runner } from "./runner.ts";

/** A member that holds entries of types 0, 2 and 0, none of them known to be committed, over a disk that waits for the test. */
function start() {
  const entries = [0, 2, 0].map((type, i): Entry => ({ index: i + 1, term: 1, type, data: new Uint8Array(0) }));
  const raft = createRaft({
    id: 1n,
    conf: confOf([1n, 2n]),
    electionTicks: 10,
    heartbeatTicks: 1,
    rand: seededRand(1),
    hardState: { term: 1, vote: 0n, commit: 0 },
    entries,
    applied: 0,
    preVote: true,
    checkQuorum: true,
    maxSizePerMessage: 1 << 20,
    maxInflightMessages: 512,
    maxInflightBytes: 2 ** 30,
  });
  const saves: { hardState: HardState | undefined; sync: boolean | undefined; done: () => void }[] = [];
  const notes: (() => void)[] = [];
  const happened: string[] = [];
  const runner = new Runner({
    raft,
    wal: {
      save: (hardState, _, sync) => new Promise((done) => saves.push({ hardState, sync, done })),
      saveSnapshot: () => Promise.resolve(),
      release: () => Promise.resolve(),
      close: () => Promise.resolve(),
      writtenBytes: 0,
    },
    clock: systemClock,
    tickMs: 1000,
    send: () => {},
    apply: (entry) => {
      happened.push(`applies ${entry.index}`);
      return entry.type === 0 ? undefined : confOf([1n]);
    },
    applied: () => {},
    install: ({ index }) => ({
      saved: new Promise((done) => notes.push(done)),
      put: async () => void happened.push(`is at ${index}`),
    }),
    onSoftState: () => {},
    onDropped: () => {},
    onReadState: () => {},
    onFsync: () => {},
    onFatal: (error) => {
      throw error;
    },
  });
  const turn = async () => {
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  };
  const hear = (type: "Heartbeat" | "Snap", at: Pick<Message, "index" | "logTerm" | "commit">) => {
    const rest = { entries: [], reject: false, rejectHint: 0, context: new Uint8Array(0), conf: confOf([1n, 2n]) };
    runner.input({ type: "Message", message: { type, from: 2n, to: 1n, term: 1, ...at, ...rest } });
    return turn();
  };
  return { runner, saves, notes, happened, turn, hear };
}

test("a change of configuration is applied once the disk knows that it is committed, and nothing after it before", async () => {
  const { runner, saves, happened, turn, hear } = start();
  await hear("Heartbeat", { index: 0, logTerm: 0, commit: 3 });
  expect(happened).toEqual(["applies 1"]);
  expect(saves).toMatchObject([{ hardState: { commit: 3 }, sync: true }]);
  saves[0]!.done();
  await turn();
  expect(happened).toEqual(["applies 1", "applies 2", "applies 3"]);
  runner.stop();
});

test("a received state is put in place after the log notes it", async () => {
  const { runner, saves, notes, happened, turn, hear } = start();
  await hear("Snap", { index: 9, logTerm: 1, commit: 0 });
  for (const { done } of saves) done();
  await turn();
  expect(happened).toEqual([]);
  notes[0]!();
  await turn();
  expect(happened).toEqual(["is at 9"]);
  runner.stop();
});
