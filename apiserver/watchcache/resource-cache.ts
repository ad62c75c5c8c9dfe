import sortedBtree from "sorted-btree";
import type { StoredObject } from "../storage/stored-object.ts";

type BTreeClass = typeof sortedBtree.default;
/** sorted-btree is a CommonJS package: Node and the bundle import its exports, vitest the class itself. */
const BTree = sortedBtree.default ?? (sortedBtree as unknown as BTreeClass);

/**
 * All objects of one resource as of the newest event, sorted by key, and the recent events for watches that start at an
 * older revision. Pure: no clock, no store.
 *
 * Invariant: `events` holds every event with a revision > `oldest`, ascending, and `objects` is their outcome.
 */
export class ResourceCache {
  readonly prefix: string;
  readonly objects: sortedBtree.default<string, StoredObject>;
  /** Counts changes: who has made something of the objects sees whether it is still true. */
  changes = 0;
  #events: CacheEvent[] = [];
  #start = 0;
  #bytes = 0;
  #oldest = 0;

  constructor(prefix: string) {
    this.prefix = prefix;
    this.objects = new BTree<string, StoredObject>(undefined, compareKeys);
  }

  /** A watch from a revision below this has missed something. */
  get oldest(): number {
    return this.#oldest;
  }

  /** Starts anew from a list of the store at `revision`. */
  replace(objects: readonly StoredObject[], revision: number): void {
    this.changes++;
    this.objects.clear();
    for (const object of objects) this.objects.set(object.key, object);
    this.#events = [];
    this.#start = 0;
    this.#bytes = 0;
    this.#oldest = revision;
  }

  put(object: StoredObject): CacheEvent {
    const previous = this.objects.get(object.key);
    this.objects.set(object.key, object);
    return this.#record(new CacheEvent(previous ? "MODIFIED" : "ADDED", object, previous));
  }

  /** Undefined when the key was not there. */
  delete(key: string, revision: number): CacheEvent | undefined {
    const previous = this.objects.get(key);
    if (previous === undefined) return undefined;
    this.objects.delete(key);
    return this.#record(new CacheEvent("DELETED", previous.at(revision), previous));
  }

  /** Objects under `prefix` in key order. */
  *under(prefix: string): Generator<StoredObject> {
    for (const [key, object] of this.objects.entries(prefix)) {
      if (!key.startsWith(prefix)) return;
      yield object;
    }
  }

  /** Events after `revision`, or undefined when they are no longer all here. */
  since(revision: number): CacheEvent[] | undefined {
    if (revision < this.#oldest) return undefined;
    let low = this.#start;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#events[middle]!.object.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low);
  }

  #record(event: CacheEvent): CacheEvent {
    this.changes++;
    this.#events.push(event);
    this.#bytes += event.object.bytes.length;
    while (this.#events.length - this.#start > maxEvents || this.#bytes > maxBytes) {
      const dropped = this.#events[this.#start]!;
      this.#start++;
      this.#bytes -= dropped.object.bytes.length;
      this.#oldest = dropped.object.revision;
    }
    if (this.#start > 1000 && this.#start * 2 > this.#events.length) {
      this.#events = this.#events.slice(this.#start);
      this.#start = 0;
    }
    return event;
  }
}

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

/** One change. Frames are made once for all watchers. */
export class CacheEvent {
  readonly type: EventType;
  /** The new state; of a deletion the last state, with the deletion's revision. */
  readonly object: StoredObject;
  readonly previous: StoredObject | undefined;
  #frame: Frame | undefined;
  #leaving: Frame | undefined;

  constructor(type: EventType, object: StoredObject, previous: StoredObject | undefined) {
    this.type = type;
    this.object = object;
    this.previous = previous;
  }

  /**
   * What a watcher with a selector sees: an object that enters the selection is ADDED, one that leaves it DELETED with
   * its last state in it (and the revision of the change). Undefined: nothing.
   */
  frame(selects: ((object: StoredObject) => boolean) | undefined): Frame | undefined {
    if (selects === undefined) return this.#own();
    const before = this.previous !== undefined && selects(this.previous);
    const after = this.type !== "DELETED" && selects(this.object);
    if (!before && !after) return undefined;
    if (before && after) return this.#own();
    if (after) return this.type === "ADDED" ? this.#own() : new Frame("ADDED", this.object);
    if (this.type === "DELETED") return this.#own();
    this.#leaving ??= new Frame("DELETED", this.previous!.at(this.object.revision));
    return this.#leaving;
  }

  /** Encoded forms are for the turn in which they go out to many. */
  dropForms(): void {
    this.#frame?.forms.clear();
    this.#leaving?.forms.clear();
  }

  #own(): Frame {
    this.#frame ??= new Frame(this.type, this.object);
    return this.#frame;
  }
}

/** A watch event ready to go out; transports keep their encoded form on it for as long as it is on its way. */
export class Frame {
  readonly type: EventType | "BOOKMARK" | "ERROR";
  readonly object: { readonly bytes: Buffer; readonly revision: number } & Partial<StoredObject>;
  readonly forms = new Map<string, Buffer>();

  constructor(type: Frame["type"], object: Frame["object"]) {
    this.type = type;
    this.object = object;
  }

  form(name: string, make: (frame: Frame) => Buffer): Buffer {
    let bytes = this.forms.get(name);
    if (bytes === undefined) {
      bytes = make(this);
      this.forms.set(name, bytes);
    }
    return bytes;
  }
}

const maxEvents = 4000;
const maxBytes = 16 * 1024 * 1024;

const compareKeys = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
