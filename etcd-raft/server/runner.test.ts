import { expect, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { seededRand } from "../../base/rand.ts";
import { confOf } from "../raft/conf.ts";
import { createRaft } from "../raft/raft.ts";
import type { Entry, HardState } from "../raft/types.ts";
import { Runner } from "./runner.ts";

test("a change of configuration is applied once the disk knows that it is committed, and nothing after it before", async () => {
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
  });
  const saves: { hardState: HardState | undefined; sync: boolean | undefined; done: () => void }[] = [];
  const applied: number[] = [];
  const runner = new Runner({
    raft,
    wal: {
      save: (hardState, _, sync) => new Promise((done) => saves.push({ hardState, sync, done })),
      saveSnapshot: () => Promise.resolve(),
      release: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    clock: systemClock,
    tickMs: 1000,
    send: () => {},
    apply: (entry) => {
      applied.push(entry.index);
      return entry.type === 0 ? undefined : confOf([1n]);
    },
    applied: () => {},
    install: () => ({ saved: Promise.resolve(), put: () => Promise.resolve() }),
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
  const heartbeat = { index: 0, logTerm: 0, entries: [], reject: false, rejectHint: 0, context: new Uint8Array(0) };
  runner.input({
    type: "Message",
    message: { type: "Heartbeat", from: 2n, to: 1n, term: 1, commit: 3, conf: undefined, ...heartbeat },
  });
  await turn();
  expect(applied).toEqual([1]);
  expect(saves).toMatchObject([{ hardState: { commit: 3 }, sync: true }]);
  saves[0]!.done();
  await turn();
  expect(applied).toEqual([1, 2, 3]);
  runner.stop();
});
