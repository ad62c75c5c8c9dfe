import type { StoredObject } from "../storage/stored-object.ts";
import { type CacheEvent, Frame } from "./resource-cache.ts";

/**
 * One watch: takes the events of its scope, keeps the frames that its reader has no room for yet, and gives up on a
 * reader that falls too far behind (it comes back with its last resourceVersion). Frames are shared between watchers, so
 * a queue costs references only.
 */
export class Watcher {
  readonly scope: Scope;
  readonly #selects: ((object: StoredObject) => boolean) | undefined;
  readonly #sink: WatchSink;
  #queue: Frame[] = [];
  /** How many at the head of the queue are initial objects, and how large what follows them is. */
  #initial = 0;
  #bytes = 0;
  #blocked = false;
  /** Everything up to this revision has been queued or is not wanted. */
  #revision: number;
  #ended = false;
  readonly #finishers: (() => void)[] = [];

  constructor(scope: Scope, selects: ((object: StoredObject) => boolean) | undefined, sink: WatchSink, from: number) {
    this.scope = scope;
    this.#selects = selects;
    this.#sink = sink;
    this.#revision = from;
    sink.onDrain = () => {
      this.#blocked = false;
      this.flush();
    };
    sink.onClose = () => this.#finish();
  }

  /** True when there is something new to flush. */
  offer(event: CacheEvent): boolean {
    const { object } = event;
    if (object.revision <= this.#revision || !inScope(object.key, this.scope)) return false;
    const frame = event.frame(this.#selects);
    if (frame === undefined) return false;
    this.#revision = object.revision;
    this.#queue.push(frame);
    this.#bytes += frame.object.bytes.length;
    return true;
  }

  /** Present objects as ADDED, before any event. */
  initial(objects: Iterable<StoredObject>): void {
    for (const object of objects) {
      if (inScope(object.key, this.scope) && (this.#selects?.(object) ?? true))
        this.#initial = this.#queue.push(new Frame("ADDED", object));
    }
  }

  /** Says how far this watch is; left out while something is still on its way. */
  bookmark(frame: Frame): void {
    if (frame.object.revision >= this.#revision && this.#queue.length === 0) this.push(frame);
  }

  push(frame: Frame): void {
    this.#queue.push(frame);
    this.#bytes += frame.object.bytes.length;
    this.flush();
  }

  /** Calls `fn` when the watch is over, now if it is. */
  onFinished(fn: () => void): void {
    if (this.#ended) fn();
    else this.#finishers.push(fn);
  }

  flush(): void {
    while (!this.#ended && !this.#blocked && this.#queue.length > 0) {
      const batch = this.#queue.length <= maxBatch ? this.#queue : this.#queue.slice(0, maxBatch);
      this.#queue = this.#queue.length <= maxBatch ? [] : this.#queue.slice(maxBatch);
      for (const { object } of batch.slice(this.#initial)) this.#bytes -= object.bytes.length;
      this.#initial = Math.max(0, this.#initial - batch.length);
      this.#blocked = !this.#sink.send(batch);
    }
    if (this.#queue.length - this.#initial > maxQueue || this.#bytes > maxQueueBytes) this.end();
  }

  /** An ERROR event with this Status, if any, then the end. */
  end(status?: Buffer): void {
    if (this.#ended) return;
    if (status !== undefined) this.#sink.send([...this.#queue, new Frame("ERROR", { revision: 0, bytes: status })]);
    this.#sink.end();
    this.#finish();
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    for (const fn of this.#finishers) fn();
  }
}

/** Keys with this prefix, or the one key. */
export interface Scope {
  prefix: string;
  exact: boolean;
}

export function inScope(key: string, { prefix, exact }: Scope): boolean {
  return exact ? key === prefix : key.startsWith(prefix);
}

/** The way to a watch's reader; both transports have one. */
export interface WatchSink {
  /** Frames of one turn, in order, in one write. False: no room for more until `onDrain`. */
  send(frames: readonly Frame[]): boolean;
  end(): void;
  onDrain?: () => void;
  onClose?: () => void;
}

/** Frames a write: enough to fill a pipe, little enough not to fill the memory. */
const maxBatch = 500;
/** A reader that is so far behind is cut off. Initial objects are not counted: they are in the cache anyway. */
export const maxQueue = 50_000;
export const maxQueueBytes = 64 * 1024 * 1024;
