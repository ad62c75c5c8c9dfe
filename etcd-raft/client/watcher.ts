import { type Clock, sleep } from "../../base/clock.ts";
import type { BidiStream } from "../../net/grpc-client.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Event } from "../../proto/generated/mvccpb.ts";
import type { Init } from "../../proto/wire.ts";
import { defaultTimeoutMs, type Endpoints, retryMs } from "./endpoints.ts";
import { inBytes } from "./keys.ts";
import { type Watch, WatchClosed, type WatchHandlers, type WatchInit } from "./types.ts";

/**
 * All watches of one client over one stream. When the stream breaks (a dead member, no leader for long), it is opened
 * again at the next endpoint and every watch goes on after the last revision it has seen: handlers get each event
 * exactly once, in order. Watch ids are ours and unique for the client's life, so that late answers of an old stream
 * cannot be taken for those of a new watch.
 */
export class Watcher {
  readonly #endpoints: Endpoints;
  readonly #clock: Clock;
  readonly #watches = new Map<number, ActiveWatch>();
  #lastId = 0;
  #stream: BidiStream<pb.WatchRequest, pb.WatchResponse> | undefined;
  #running = false;
  #closed = false;

  constructor(endpoints: Endpoints, clock: Clock) {
    this.#endpoints = endpoints;
    this.#clock = clock;
  }

  watch(init: WatchInit, handlers: WatchHandlers): Watch {
    const id = ++this.#lastId;
    const watch: ActiveWatch = {
      request: { ...inBytes<pb.WatchCreateRequest>(init), watchId: id },
      handlers,
      next: init.startRevision ?? 0,
      created: false,
      pieces: [],
    };
    this.#watches.set(id, watch);
    if (this.#stream) this.#create(watch);
    else void this.#run();
    return {
      get nextRevision() {
        return watch.next;
      },
      cancel: () => {
        if (this.#watches.delete(id)) this.#stream?.send({ cancelRequest: { watchId: id } });
      },
    };
  }

  /** Asks for `onProgress`. May stay unanswered (a watch is behind, the stream is being made anew): ask again. */
  requestProgress(): void {
    this.#stream?.send({ progressRequest: {} });
  }

  close(): void {
    this.#closed = true;
    this.#watches.clear();
    this.#stream?.cancel();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    while (!this.#closed && this.#watches.size > 0) {
      try {
        const { client, failed } = await this.#endpoints.connected(defaultTimeoutMs);
        if (this.#closed) break;
        try {
          await this.#follow(client.bidi(pb.WatchService.Watch, { metadata: { hasleader: "true" } }));
        } finally {
          failed();
        }
      } catch {
        // Whatever broke the stream, the watches are whole: they go on at the next endpoint.
      }
      this.#stream = undefined;
      if (!this.#closed) await sleep(this.#clock, retryMs);
    }
    this.#running = false;
  }

  async #follow(stream: BidiStream<pb.WatchRequest, pb.WatchResponse>): Promise<void> {
    this.#stream = stream;
    for (const watch of this.#watches.values()) this.#create(watch);
    for await (const response of stream) this.#onResponse(response);
  }

  #create(watch: ActiveWatch): void {
    watch.pieces = [];
    watch.created = false;
    this.#stream!.send({ createRequest: { ...watch.request, startRevision: watch.next, fragment: true } });
  }

  #onResponse(response: pb.WatchResponse): void {
    const revision = response.header?.revision ?? 0;
    if (response.watchId === -1) {
      for (const watch of this.#watches.values()) onProgress(watch, revision);
      return;
    }
    const watch = this.#watches.get(response.watchId);
    if (watch === undefined) return; // cancelled by us a moment ago
    if (response.canceled) {
      this.#watches.delete(response.watchId);
      const { compactRevision, cancelReason } = response;
      const reason =
        cancelReason || (compactRevision ? "etcdserver: mvcc: required revision has been compacted" : "watch canceled");
      watch.handlers.onClosed(new WatchClosed(reason, compactRevision));
      return;
    }
    if (response.created) {
      watch.created = true;
      if (watch.next === 0) watch.next = revision + 1;
      watch.handlers.onCreated?.(revision);
      return;
    }
    if (response.events.length === 0 && !response.fragment) {
      onProgress(watch, revision);
      return;
    }
    if (response.fragment || watch.pieces.length > 0) watch.pieces.push(...response.events);
    if (response.fragment) return;
    const events = watch.pieces.length > 0 ? watch.pieces : response.events;
    watch.pieces = [];
    watch.next = events[events.length - 1]!.kv!.modRevision + 1;
    watch.handlers.onEvents(events, revision);
  }
}

interface ActiveWatch {
  request: Init<pb.WatchCreateRequest>;
  handlers: WatchHandlers;
  next: number;
  created: boolean; // the server has confirmed it on the present stream
  pieces: Event[]; // events of a response that comes in fragments
}

function onProgress(watch: ActiveWatch, revision: number): void {
  if (!watch.created) return; // the server was asked before it knew of this watch
  watch.next = Math.max(watch.next, revision + 1);
  watch.handlers.onProgress?.(revision);
}
