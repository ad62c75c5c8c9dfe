import assert from "node:assert/strict";
import { test } from "vitest";
import { StoredObject } from "../storage/stored-object.ts";
import { CacheEvent, type Frame } from "./resource-cache.ts";
import { maxQueue, maxQueueBytes, Watcher, type WatchSink } from "./watcher.ts";

class Reader implements WatchSink {
  frames: Frame[] = [];
  ended = false;
  onDrain?: () => void;
  readonly #room: boolean;

  constructor(room: boolean) {
    this.#room = room;
  }

  send(frames: readonly Frame[]): boolean {
    this.frames.push(...frames);
    return this.#room;
  }

  end(): void {
    this.ended = true;
  }
}

const scope = { prefix: "/registry/pods/", exact: false };
const stored = (revision: number, bytes: Buffer = Buffer.from("{}")) =>
  new StoredObject(`/registry/pods/default/p${revision}`, revision, bytes);

/** Two readers of the same events, one of whom stops reading; gives back after how many events that one was cut off. */
function follow(events: number, bytes?: Buffer, initial = 0) {
  const [fast, slow] = [new Reader(true), new Reader(false)];
  const watchers = [fast, slow].map((sink) => new Watcher(scope, undefined, sink, 0));
  const present = Array.from({ length: initial }, (_, i) => stored(i, bytes));
  for (const watcher of watchers) watcher.initial(present);
  for (const watcher of watchers) watcher.flush();
  let cutAfter: number | undefined;
  for (let i = 1; i <= events; i++) {
    const event = new CacheEvent("ADDED", stored(initial + i, bytes), undefined);
    for (const watcher of watchers) if (watcher.offer(event)) watcher.flush();
    if (slow.ended) cutAfter ??= i;
  }
  return { fast, slow, cutAfter, watchers };
}

test("who does not read is cut off when it is too many events behind; who reads hears each of them", () => {
  const { fast, slow, cutAfter } = follow(maxQueue + 10);
  assert.equal(cutAfter, maxQueue + 2); // one is on its way
  assert.equal(slow.frames.length, 1);
  assert.deepEqual([fast.ended, fast.frames.length], [false, maxQueue + 10]);
});

test("large events cut it off sooner", () => {
  const bytes = Buffer.alloc(1024 * 1024);
  const { fast, cutAfter } = follow(100, bytes);
  assert.equal(cutAfter, maxQueueBytes / bytes.length + 2);
  assert.equal(fast.frames.length, 100);
});

test("what was there when it began is not counted: it is in the cache anyway", () => {
  const { slow, watchers } = follow(3, Buffer.alloc(1024), maxQueue + 2000);
  assert.equal(slow.ended, false);
  for (let i = 0; i < 200; i++) slow.onDrain!();
  assert.equal(slow.frames.length, maxQueue + 2003);
  const after = follow(1, Buffer.alloc(1024), 1);
  assert.equal(after.slow.ended, false);
  assert.equal(watchers.length, 2);
});
