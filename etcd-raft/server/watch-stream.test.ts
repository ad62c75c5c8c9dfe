import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import { WatchCreateRequest, WatchRequest, type WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import { Store } from "../mvcc/store.ts";
import { WatchHub } from "./watch-hub.ts";
import { WatchStream } from "./watch-stream.ts";

/** A stream over a store, with a reader that can stop reading and a turn of the event loop done by hand. */
class Bench {
  readonly store = new Store();
  readonly hub = new WatchHub(this.store);
  readonly sent: WatchResponse[] = [];
  /** Responses that the reader still takes before the transport says stop. */
  room = Number.POSITIVE_INFINITY;
  overflows = 0;
  #later: (() => void)[] = [];
  #drained: (() => void) | undefined;
  readonly stream: WatchStream;
  /** What `mayRead` says, if not at once that all is well. */
  judge: (() => Promise<string | undefined>) | undefined;

  constructor(maxResponseBytes = 1e6) {
    const send = Object.assign(
      (response: WatchResponse) => {
        this.sent.push(response);
        return --this.room > 0;
      },
      // biome-ignore lint/suspicious/noThenProperty: a promise that settles at once, when the test says so
      { drained: () => ({ then: (fn: () => void) => (this.#drained = fn) }) as unknown as Promise<void> },
    );
    const header = (revision: number) => ({ clusterId: 1n, memberId: 2n, revision, raftTerm: 3 });
    this.stream = new WatchStream(
      {
        store: this.store,
        hub: this.hub,
        header,
        maxResponseBytes,
        mayRead: () => this.judge?.(),
        overflow: () => this.overflows++,
        later: (fn) => this.#later.push(fn),
      },
      send as never,
    );
  }

  create(request: Init<WatchCreateRequest>): void {
    const createRequest = WatchCreateRequest.decode(WatchCreateRequest.encode(request));
    this.stream.onMessage({ createRequest, cancelRequest: undefined, progressRequest: undefined });
  }

  ask(request: Init<WatchRequest>): void {
    this.stream.onMessage(WatchRequest.decode(WatchRequest.encode(request)));
  }

  /** One revision: each key with a value is put, each without deleted. */
  write(...changes: [key: string, value?: string][]): void {
    const write = this.store.begin();
    for (const [key, value] of changes) {
      if (value === undefined) write.deleteRange({ key, end: undefined });
      else write.put(key, Buffer.from(value), 0n);
    }
    write.end();
  }

  /** What is due now happens, and not what comes of it. */
  turn(): void {
    for (const fn of this.#later.splice(0)) fn();
  }

  /** Everything that is due happens. */
  settle(): void {
    for (let turn = 0; this.#later.length > 0; turn++) {
      assert.ok(turn < 10_000, "it never comes to rest");
      this.turn();
    }
  }

  readAll(): void {
    this.room = Number.POSITIVE_INFINITY;
    this.#drained?.();
    this.#drained = undefined;
    this.settle();
  }

  compact(revision: number): void {
    this.store.compact(revision);
    while (this.store.compactStep(1000));
  }

  /** What was sent since the last call, short: "id created", "id @revision +key=value -key", ... */
  take(): string[] {
    return this.sent.splice(0).map((r) => {
      const words = [`${r.watchId}`];
      if (r.created) words.push("created");
      if (r.canceled) words.push("canceled");
      if (r.compactRevision) words.push(`compacted ${r.compactRevision}`);
      if (r.cancelReason) words.push(r.cancelReason);
      if (r.fragment) words.push("fragment");
      words.push(`@${r.header!.revision}`);
      for (const { type, kv, prevKv } of r.events) {
        const before = prevKv ? `(${Buffer.from(prevKv.value)})` : "";
        words.push(
          type === 1
            ? `-${Buffer.from(kv!.key)}${before}`
            : `+${Buffer.from(kv!.key)}=${Buffer.from(kv!.value)}${before}`,
        );
      }
      return words.join(" ");
    });
  }
}

const k = (text: string) => Buffer.from(text);
const all = { key: k("\0"), rangeEnd: k("\0") };

describe("creating", () => {
  test("ids count from 0 and skip those that clients chose", () => {
    const bench = new Bench();
    for (const watchId of [0, 1, 0]) bench.create({ ...all, watchId });
    assert.deepEqual(bench.take(), ["0 created @1", "1 created @1", "2 created @1"]);
  });

  const refused: [string, Init<WatchCreateRequest>, RegExp][] = [
    ["an id in use", { ...all, watchId: 7 }, /^-1 created canceled .*duplicate watch ID/],
    ["an end before the key", { key: k("b"), rangeEnd: k("a") }, /^-1 created canceled .*range is empty/],
    ["a negative start", { ...all, startRevision: -1 }, /^-1 created canceled .*required revision has been compacted/],
  ];
  for (const [name, request, answer] of refused) {
    test(`${name} is created and canceled in one, with id -1`, () => {
      const bench = new Bench();
      bench.create({ ...all, watchId: 7 });
      bench.create(request);
      assert.match(bench.take()[1]!, answer);
    });
  }

  test("what comes after a create whose caller is still judged waits for it, in order", async () => {
    const bench = new Bench();
    let judged: (reason: string | undefined) => void = () => {};
    bench.judge = () => new Promise((resolve) => (judged = resolve));
    bench.create({ ...all, watchId: 1 });
    bench.judge = undefined;
    bench.create({ ...all, watchId: 2 });
    bench.ask({ cancelRequest: { watchId: 1 } });
    assert.deepEqual(bench.take(), []);
    judged(undefined);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(bench.take(), ["1 created @1", "2 created @1", "1 canceled @1"]);
    bench.judge = () => new Promise((resolve) => (judged = resolve));
    bench.create(all);
    judged("no");
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(bench.take(), ["-1 created canceled no @1"]);
  });

  test("an empty key watches the key zero", () => {
    const bench = new Bench();
    bench.create({});
    bench.write(["\0", "1"], ["a", "1"]);
    bench.hub.publish();
    assert.deepEqual(bench.take(), ["0 created @1", "0 @2 +\0=1"]);
  });
});

describe("events", () => {
  test("from now on without a start revision; the past is caught up with one", () => {
    const bench = new Bench();
    bench.write(["a", "1"]);
    bench.hub.publish();
    bench.create(all);
    bench.create({ ...all, startRevision: 2 });
    bench.settle();
    bench.write(["a", "2"]);
    bench.hub.publish();
    assert.deepEqual(bench.take(), ["0 created @2", "1 created @2", "1 @2 +a=1", "0 @3 +a=2", "1 @3 +a=2"]);
  });

  test("a start in the future hears nothing before it, not even progress", () => {
    const bench = new Bench();
    bench.create({ ...all, startRevision: 3 });
    bench.write(["a", "1"]);
    bench.hub.publish();
    bench.ask({ progressRequest: {} });
    bench.write(["a", "2"]);
    bench.hub.publish();
    assert.deepEqual(bench.take(), ["0 created @1", "0 @3 +a=2"]);
  });

  test("only its own key or range; filters; previous values when asked", () => {
    const bench = new Bench();
    bench.create({ key: k("a"), prevKv: true });
    bench.create({ key: k("b"), rangeEnd: k("d") });
    bench.create({ ...all, filters: [0] }); // no puts
    bench.take();
    bench.write(["a", "1"], ["c", "1"], ["d", "1"]);
    bench.hub.publish();
    bench.write(["a", "2"]);
    bench.hub.publish();
    bench.write(["a"]);
    bench.hub.publish();
    assert.deepEqual(bench.take(), ["0 @2 +a=1", "1 @2 +c=1", "0 @3 +a=2(1)", "0 @4 -a(2)", "2 @4 -a"]);
  });

  test("the previous value is that of the revision before, also of a key that one revision writes twice", () => {
    const bench = new Bench();
    bench.create({ key: k("a"), prevKv: true });
    bench.write(["a", "1"]);
    bench.hub.publish();
    bench.write(["a", "2"], ["a"]);
    bench.hub.publish();
    bench.write(["b", "1"], ["a", "3"], ["a"]);
    bench.hub.publish();
    assert.deepEqual(bench.take(), ["0 created @1", "0 @2 +a=1", "0 @3 +a=2(1) -a(1)", "0 @4 +a=3 -a"]);
  });

  test("a deletion carries the key and its revision alone", () => {
    const bench = new Bench();
    bench.write(["a", "1"]);
    bench.write(["a"]);
    bench.hub.publish();
    bench.create({ ...all, startRevision: 3 });
    bench.settle();
    const { kv, prevKv } = bench.sent[1]!.events[0]!;
    assert.deepEqual(
      { ...kv, key: `${kv!.key}` },
      { key: "a", modRevision: 3, createRevision: 0, version: 0, value: Buffer.alloc(0), lease: 0n },
    );
    assert.equal(prevKv, undefined);
  });

  test("large responses come in fragments for those who allow it, whole for the others", () => {
    const bench = new Bench(250);
    bench.create({ ...all, fragment: true });
    bench.create(all);
    bench.take();
    bench.write(["a", "x".repeat(100)], ["b", "x".repeat(100)], ["c", ""]);
    bench.hub.publish();
    const [first, second, whole] = bench.sent;
    assert.deepEqual(
      [first, second, whole].map((r) => [r!.watchId, r!.fragment, r!.events.length]),
      [
        [0, true, 1],
        [0, false, 2],
        [1, false, 3],
      ],
    );
  });
});

describe("compaction", () => {
  test("a start before it: created, then canceled with the compact revision and no header revision", () => {
    const bench = new Bench();
    for (const value of ["1", "2", "3"]) bench.write(["a", value]);
    bench.hub.publish();
    bench.compact(3);
    bench.create({ ...all, startRevision: 2 });
    bench.settle();
    assert.deepEqual(bench.take(), ["0 created @4", "0 canceled compacted 3 @0"]);
  });

  test("an id that compaction ended stays taken until the client cancels it, which is confirmed", () => {
    const bench = new Bench();
    for (const value of ["1", "2", "3"]) bench.write(["a", value]);
    bench.hub.publish();
    bench.compact(3);
    bench.create({ ...all, watchId: 7, startRevision: 2 });
    bench.settle();
    bench.take();
    bench.create({ ...all, watchId: 7 });
    assert.match(bench.take()[0]!, /^-1 created canceled .*duplicate watch ID/);
    bench.ask({ progressRequest: {} }); // it is over, and holds up nobody
    for (const watchId of [7, 7]) bench.ask({ cancelRequest: { watchId } });
    assert.deepEqual(bench.take(), ["-1 @4", "7 canceled @4"]);
    bench.create({ ...all, watchId: 7 });
    assert.deepEqual(bench.take(), ["7 created @4"]);
  });

  test("a start at it is legal; the value before is gone", () => {
    const bench = new Bench();
    for (const value of ["1", "2", "3"]) bench.write(["a", value]);
    bench.hub.publish();
    bench.compact(3);
    bench.create({ ...all, startRevision: 3, prevKv: true });
    bench.settle();
    assert.deepEqual(bench.take(), ["0 created @4", "0 @4 +a=2 +a=3(2)"]);
  });

  test("takes the value before out of events as soon as it is asked for, though it is not done yet", () => {
    const bench = new Bench();
    for (const value of ["1", "2", "3"]) bench.write(["a", value]);
    bench.hub.publish();
    bench.store.compact(3);
    bench.create({ ...all, startRevision: 3, prevKv: true });
    bench.settle();
    assert.deepEqual(bench.take(), ["0 created @4", "0 @4 +a=2 +a=3(2)"]);
  });

  test("does not touch a watcher that has everything, however long it has been quiet", () => {
    const bench = new Bench();
    bench.create({ key: k("quiet") });
    bench.create({ key: k("a") });
    bench.room = 1;
    for (let i = 0; i < 300; i++) {
      bench.write(["a", `${i}`]);
      bench.hub.publish(); // until the reader is full and all watchers leave the hub
    }
    bench.compact(100);
    bench.readAll();
    bench.take();
    bench.write(["quiet", "1"]);
    bench.hub.publish();
    assert.deepEqual(bench.take(), ["0 @302 +quiet=1"]);
  });
});

test("catching up stops at what is published; the rest comes once, with its own publishing", () => {
  const bench = new Bench();
  bench.write(["a", "1"]);
  bench.hub.publish();
  bench.write(["a", "2"]);
  bench.create({ ...all, startRevision: 2 });
  bench.settle();
  assert.deepEqual(bench.take(), ["0 created @2", "0 @2 +a=1"]);
  bench.hub.publish();
  assert.deepEqual(bench.take(), ["0 @3 +a=2"]);
});

describe("progress", () => {
  test("one answer with id -1, at the revision up to which all is sent", () => {
    const bench = new Bench();
    bench.create(all);
    bench.create(all);
    bench.write(["a", "1"]);
    bench.hub.publish();
    bench.take();
    bench.ask({ progressRequest: {} });
    assert.deepEqual(bench.take(), ["-1 @2"]);
  });

  test("silence without a watcher, and while one is behind", () => {
    const bench = new Bench();
    bench.write(["a", "1"]);
    bench.hub.publish();
    bench.ask({ progressRequest: {} });
    bench.create({ ...all, startRevision: 2 });
    bench.ask({ progressRequest: {} });
    bench.settle();
    bench.ask({ progressRequest: {} });
    assert.deepEqual(bench.take(), ["0 created @2", "0 @2 +a=1", "-1 @2"]);
  });

  test("notifications go to those who asked and heard nothing meanwhile", () => {
    const bench = new Bench();
    bench.create({ ...all, progressNotify: true });
    bench.create(all);
    bench.take();
    bench.stream.notifyProgress();
    assert.deepEqual(bench.take(), ["0 @1"]);
    bench.write(["a", "1"]);
    bench.hub.publish();
    bench.take();
    bench.stream.notifyProgress();
    assert.deepEqual(bench.take(), []);
    bench.stream.notifyProgress();
    assert.deepEqual(bench.take(), ["0 @2"]);
  });

  test("nobody is notified of a revision before the one that it begins at", () => {
    const bench = new Bench();
    bench.create({ ...all, startRevision: 3, progressNotify: true });
    bench.take();
    bench.stream.notifyProgress();
    assert.deepEqual(bench.take(), []);
    for (const value of ["1", "2"]) bench.write(["a", value]);
    bench.hub.publish();
    bench.take();
    for (const _ of "12") bench.stream.notifyProgress();
    assert.deepEqual(bench.take(), ["0 @3"]);
  });
});

test("at most 128 responses wait for a reader, however small they are; the rest is read from the log again", () => {
  const bench = new Bench();
  bench.create(all);
  bench.room = 1;
  for (let i = 0; i < 1000; i++) {
    bench.write(["a", `${i}`]);
    bench.hub.publish();
  }
  assert.ok(bench.take().length <= 130);
  bench.readAll();
  assert.match(bench.take().at(-1)!, /^0 @1001 .*\+a=999$/);
});

describe("cancelling", () => {
  test("is confirmed once; an unknown id is not answered; nothing comes after", () => {
    const bench = new Bench();
    bench.create(all);
    for (const watchId of [0, 0, 9]) bench.ask({ cancelRequest: { watchId } });
    bench.write(["a", "1"]);
    bench.hub.publish();
    assert.deepEqual(bench.take(), ["0 created @1", "0 canceled @1"]);
  });
});

test("whatever the reader's pace, each watcher gets every event once, in order, revisions whole", () => {
  const step = fc.oneof(
    fc.record({
      type: fc.constant("write" as const),
      keys: fc.uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1 }),
      times: fc.integer({ min: 1, max: 200 }),
    }),
    fc.record({ type: fc.constant("room" as const), room: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ type: fc.constant("read" as const) }),
    fc.record({ type: fc.constant("settle" as const) }),
    fc.record({ type: fc.constant("watch" as const), back: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const bench = new Bench();
      const starts: number[] = [];
      for (const s of steps) {
        if (s.type === "write") {
          for (let i = 0; i < s.times; i++) {
            bench.write(...s.keys.map((key): [string, string] => [key, `${i}`]));
            bench.hub.publish();
          }
        } else if (s.type === "room") bench.room = s.room;
        else if (s.type === "read") bench.readAll();
        else if (s.type === "settle") bench.settle();
        else {
          starts.push(Math.max(2, bench.store.revision - s.back));
          bench.create({ ...all, startRevision: starts.at(-1)! });
        }
      }
      bench.settle();
      bench.readAll();
      for (const [id, start] of starts.entries()) {
        const responses = bench.sent.filter(({ watchId, created }) => watchId === id && !created);
        const seen = responses.flatMap(({ events }) => events.map(({ kv }) => `${kv!.modRevision}/${kv!.key}`));
        const wanted = bench.store.changesFrom(start, 1e9).map(({ main, key }) => `${main}/${k(key)}`);
        assert.deepEqual(seen, wanted);
        const lasts = responses.map(({ events }) => events.at(-1)!.kv!.modRevision);
        const firsts = responses.map(({ events }) => events[0]!.kv!.modRevision);
        for (let i = 1; i < responses.length; i++) assert.ok(firsts[i]! > lasts[i - 1]!, "a revision was split");
      }
    }),
    { numRuns: 200 },
  );
});

describe("what one caller may cost", () => {
  test("of thousands of watchers that begin long ago few get a stretch in one turn, and all get theirs", () => {
    const bench = new Bench();
    for (let i = 0; i < 3000; i++) bench.write(["other", `${i}`]);
    let stretches = 0;
    const catchUp = bench.hub.catchUp.bind(bench.hub);
    bench.hub.catchUp = (watcher, limit) => {
      stretches++;
      return catchUp(watcher, limit);
    };
    for (let i = 0; i < 2000; i++) bench.create({ key: k(`k${i}`), startRevision: 1 });
    bench.turn();
    assert.equal(stretches, 32);
    bench.write(["k1999", "v"]);
    bench.settle();
    bench.hub.publish();
    bench.settle();
    assert.equal(bench.hub.syncedCount, 2000);
    assert.deepEqual(
      bench.take().filter((said) => said.includes("=")),
      ["1999 @3002 +k1999=v"],
    );
  });

  test("who asks on and on and reads nothing is told to stop, once it has ten thousand answers to read", () => {
    const bench = new Bench();
    bench.room = 0;
    for (let i = 0; i < 10_000; i++) bench.create(all);
    assert.equal(bench.overflows, 0);
    bench.create(all);
    assert.equal(bench.overflows, 1);
  });
});
