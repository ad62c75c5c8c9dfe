import type { Send } from "../../net/grpc-server.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Event } from "../../proto/generated/mvccpb.ts";
import type { KeyRange } from "../mvcc/key-index.ts";
import { endText } from "../mvcc/range.ts";
import type { Store } from "../mvcc/store.ts";
import { keyText } from "../mvcc/version.ts";
import type { Watcher, WatchHub } from "./watch-hub.ts";

/**
 * One Watch stream with its watchers. Creates are answered strictly in order, and no event goes out for an id before its
 * `created`. While the reader is slow its watchers leave the hub; they catch up from the log once it has read on, so a
 * slow reader costs no memory here.
 */
export interface WatchContext {
  store: Store;
  hub: WatchHub;
  header(revision: number): pb.ResponseHeader;
  maxResponseBytes: number; // responses beyond this are split for watchers that allow it
  /** Why this caller may not watch these keys, if so. Creates wait for the answer, in order. */
  mayRead(range: KeyRange): string | undefined | Promise<string | undefined>;
  overflow(): void; // the caller is to be told that it asks for too much; the stream ends
  later(fn: () => void): void; // calls `fn` in a later turn of the event loop
}

interface StreamWatcher extends Watcher {
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** As the client asked; 0 is from now on. Before that revision it hears nothing, not even of progress. */
  readonly start: number;
  active: boolean; // events went out since the last progress notification
}

export class WatchStream {
  readonly #context: WatchContext;
  readonly #send: Send<pb.WatchResponse>;
  readonly #watchers = new Map<number, StreamWatcher>();
  readonly #behind = new Set<StreamWatcher>(); // those that are not synced
  /** Ended by compaction: their ids stay taken until the client cancels them too, as etcd has it. */
  readonly #compactedIds = new Set<number>();
  #nextId = 0;
  /** Responses since the transport asked us to wait, and their bytes; undefined when it takes more. */
  #queued: { responses: number; bytes: number } | undefined;
  #blocked = false;
  #closed = false;
  #catchingUp = false;
  #judging: Promise<void> | undefined; // A create waits for word of its caller, and what comes after it too

  constructor(context: WatchContext, send: Send<pb.WatchResponse>) {
    this.#context = context;
    this.#send = send;
  }

  get size(): number {
    return this.#watchers.size;
  }

  onMessage({ createRequest, cancelRequest, progressRequest }: pb.WatchRequest): void {
    if (this.#closed) return;
    if (this.#judging) void this.#judging.then(() => this.onMessage({ createRequest, cancelRequest, progressRequest }));
    else if (createRequest) this.#create(createRequest);
    else if (cancelRequest) this.#cancel(cancelRequest.watchId);
    else if (progressRequest) this.#progress();
  }

  /** To those who asked for it and have heard nothing since the last time. */
  notifyProgress(): void {
    for (const watcher of this.#watchers.values()) {
      const { hub } = this.#context;
      if (watcher.progressNotify && watcher.synced && !watcher.active && watcher.start <= hub.revision)
        this.#respond({ header: this.#context.header(hub.revision), watchId: watcher.id });
      watcher.active = false;
    }
  }

  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers.values()) this.#context.hub.unsync(watcher);
    this.#watchers.clear();
  }

  #create(request: pb.WatchCreateRequest): void {
    const key = request.key.length === 0 ? "\0" : keyText(request.key);
    const end = request.rangeEnd.length === 0 ? undefined : endText(request.rangeEnd);
    if (typeof end === "string" && end <= key) return this.#refuse("mvcc: watcher range is empty");
    const reason = this.#context.mayRead({ key, end });
    if (reason instanceof Promise) {
      this.#judging = reason.then((late) => {
        this.#judging = undefined;
        if (!this.#closed) late === undefined ? this.#open(request, { key, end }) : this.#refuse(late);
      });
      return;
    }
    if (reason !== undefined) return this.#refuse(reason);
    this.#open(request, { key, end });
  }

  #open(request: pb.WatchCreateRequest, range: KeyRange): void {
    const { hub, header } = this.#context;
    if (request.startRevision < 0) return this.#refuse(compactedText);
    let id = request.watchId;
    if (id === 0) {
      while (this.#taken(this.#nextId)) this.#nextId++;
      id = this.#nextId++;
    } else if (this.#taken(id)) return this.#refuse("mvcc: duplicate watch ID provided on the WatchStream");
    const watcher: StreamWatcher = {
      id,
      range,
      prevKv: request.prevKv,
      filters: request.filters,
      fragment: request.fragment,
      progressNotify: request.progressNotify,
      start: request.startRevision,
      next: request.startRevision === 0 ? hub.revision + 1 : request.startRevision,
      synced: false,
      active: false,
      deliver: (events, revision) => this.#deliver(watcher, events, revision),
      behind: () => this.#catchUp(watcher),
    };
    this.#watchers.set(id, watcher);
    this.#respond({ header: header(hub.revision), watchId: id, created: true });
    if (watcher.next > hub.revision && !this.#blocked) hub.sync(watcher);
    else this.#catchUp(watcher);
  }

  #refuse(cancelReason: string): void {
    const { store, header } = this.#context;
    this.#respond({ header: header(store.revision), watchId: -1, created: true, canceled: true, cancelReason });
  }

  #taken(id: number): boolean {
    return this.#watchers.has(id) || this.#compactedIds.has(id);
  }

  #cancel(id: number): void {
    const watcher = this.#watchers.get(id);
    if (watcher) this.#context.hub.unsync(watcher);
    if (watcher) this.#behind.delete(watcher);
    if (!this.#watchers.delete(id) && !this.#compactedIds.delete(id)) return;
    this.#respond({ header: this.#context.header(this.#context.hub.revision), watchId: id, canceled: true });
  }

  /**
   * One answer for the stream, only when all its watchers have everything: else silence, and the client asks again. Silence also
   * before there is one: its create, on the way perhaps, asks for what came before.
   */
  #progress(): void {
    const { hub, header } = this.#context;
    if (this.#watchers.size + this.#compactedIds.size === 0) return;
    for (const { synced, start } of this.#watchers.values()) if (!synced || start > hub.revision) return;
    this.#respond({ header: header(hub.revision), watchId: -1 });
  }

  #deliver(watcher: StreamWatcher, events: Event[], revision: number): void {
    watcher.active = true;
    const response = { header: this.#context.header(revision), watchId: watcher.id, events };
    if (!watcher.fragment || events.length === 1) {
      this.#respond(response);
      return;
    }
    const pieces = split(events, this.#context.maxResponseBytes);
    for (const [i, piece] of pieces.entries())
      this.#respond({ ...response, events: piece, fragment: i < pieces.length - 1 });
  }

  #respond(response: Partial<pb.WatchResponse>): void {
    if (this.#closed) return;
    const full = { ...emptyResponse, ...response };
    if (!this.#send(full) && this.#queued === undefined) {
      this.#queued = { responses: 0, bytes: 0 };
      this.#send.drained().then(() => {
        this.#queued = undefined;
        this.#blocked = false;
        this.#catchUp();
      });
    }
    if (this.#queued === undefined) return;
    this.#queued.responses++;
    if (this.#blocked) {
      if (this.#queued.responses > maxUnread) this.#context.overflow(); // it asks on and on, and reads nothing
      return;
    }
    for (const event of full.events) this.#queued.bytes += sizeOf(event);
    if (this.#queued.responses < maxQueued && this.#queued.bytes < maxQueuedBytes) return;
    this.#blocked = true;
    for (const watcher of this.#watchers.values()) {
      this.#context.hub.unsync(watcher);
      this.#behind.add(watcher);
    }
  }

  /** Gives those that are behind a stretch each, a few watchers a turn, until all are synced or the reader is full. */
  #catchUp(watcher?: StreamWatcher): void {
    if (watcher) this.#behind.add(watcher);
    if (this.#catchingUp || this.#behind.size === 0) return;
    this.#catchingUp = true;
    this.#context.later(() => {
      this.#catchingUp = false;
      let left = Math.min(watchersPerTurn, this.#behind.size);
      for (const next of this.#behind) {
        if (this.#blocked || this.#closed) return;
        if (left-- === 0) break;
        this.#behind.delete(next);
        const state = this.#context.hub.catchUp(next, changesPerTurn);
        if (state === "compacted") this.#compacted(next);
        else if (state === "done" && !this.#blocked) this.#context.hub.sync(next);
        else this.#behind.add(next);
      }
      this.#catchUp();
    });
  }

  #compacted(watcher: StreamWatcher): void {
    this.#watchers.delete(watcher.id);
    this.#compactedIds.add(watcher.id);
    this.#respond({
      header: this.#context.header(0),
      watchId: watcher.id,
      canceled: true,
      compactRevision: this.#context.store.compactRevision,
    });
  }
}

const compactedText = "etcdserver: mvcc: required revision has been compacted";
const changesPerTurn = 1000;
const watchersPerTurn = 32;
const maxQueued = 128; // as many responses as etcd buffers for a stream
/** Differs: etcd reads no more requests while it cannot write; answers to those do not pile up there. */
const maxUnread = 10_000;
const maxQueuedBytes = 1 << 20; // Differs: etcd counts responses alone, which may be of 1.5 MiB each

const emptyResponse: pb.WatchResponse = pb.WatchResponse.decode(new Uint8Array(0));

function split(events: Event[], maxBytes: number): Event[][] {
  const pieces: Event[][] = [];
  let piece: Event[] = [];
  let bytes = 0;
  for (const event of events) {
    const size = sizeOf(event);
    if (piece.length > 0 && bytes + size > maxBytes) {
      pieces.push(piece);
      piece = [];
      bytes = 0;
    }
    piece.push(event);
    bytes += size;
  }
  pieces.push(piece);
  return pieces;
}

/** A little more than the encoded length. */
const sizeOf = ({ kv, prevKv }: Event) =>
  64 + kv!.key.length + kv!.value.length + (prevKv ? 64 + prevKv.key.length + prevKv.value.length : 0);
