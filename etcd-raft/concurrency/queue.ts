import type { CallContext } from "../../net/grpc-server.ts";
import * as pb from "../../proto/generated/etcdserverpb.ts";
import type { Event, KeyValue } from "../../proto/generated/mvccpb.ts";
import type { Init, MessageCodec } from "../../proto/wire.ts";
import { prefixEnd } from "../client/keys.ts";
import type { KeyRange } from "../mvcc/key-index.ts";
import { keyText } from "../mvcc/version.ts";
import type { kvHandlers } from "../server/kv-service.ts";
import type { Member } from "../server/member.ts";
import type { Watcher } from "../server/watch-hub.ts";

/**
 * The queue under locks and elections (etcd's client/v3/concurrency): everybody who wants has a key `name/lease` of its
 * own, and the one with the lowest create revision has it. Each waits for the key just before its own to go, so that one
 * deletion wakes one waiter. The lease's end takes the key, and with it the place.
 *
 * All reads and writes are made as the caller, and count with its permissions.
 */
export interface Place {
  key: Uint8Array;
  revision: number; // create revision of the key: the fencing token; grows with each owner
  header: pb.ResponseHeader;
  value: Uint8Array | undefined; // of the key when it was there before
}

export class Queue {
  readonly #kv: ReturnType<typeof kvHandlers>;
  readonly #member: Member;

  constructor(member: Member, kv: ReturnType<typeof kvHandlers>) {
    this.#member = member;
    this.#kv = kv;
  }

  /** Takes a place, or finds the one that this lease has. */
  async enter(name: Uint8Array, lease: bigint, value: Uint8Array, context: CallContext): Promise<Place> {
    const key = Buffer.concat([name, Buffer.from(`/${lease.toString(16)}`)]);
    const { succeeded, responses, header } = await this.txn(
      {
        compare: [{ key, target: createTarget, createRevision: 0 }],
        success: [{ requestPut: { key, value, lease } }],
        failure: [{ requestRange: { key } }],
      },
      context,
    );
    const mine = responses[0]?.responseRange?.kvs[0];
    const revision = succeeded ? header!.revision : mine!.createRevision;
    return { key, revision, header: header!, value: mine?.value };
  }

  /** Resolves when nobody is before `place`. Gives the place up when the caller is gone meanwhile. */
  async wait(name: Uint8Array, { key, revision }: Place, context: CallContext): Promise<void> {
    for (;;) {
      const before = await this.#range({ ...prefix(name), ...newest, maxCreateRevision: revision - 1 }, context);
      const last = before.kvs[0];
      if (last === undefined) return;
      await this.#gone(last, context.signal);
      if (!context.signal.aborted) continue;
      await this.remove(key, context).catch(() => {});
      throw context.signal.reason;
    }
  }

  /** Those who wait too, in their order; `limit` of them, if it is not 0. */
  async all(name: Uint8Array, context: CallContext, limit = 0) {
    const { kvs, header } = await this.#range({ ...prefix(name), ...oldest, limit }, context);
    return { kvs, header: header! };
  }

  async get(key: Uint8Array, context: CallContext) {
    const { kvs, header } = await this.#range({ key }, context);
    return { kv: kvs[0], header: header! };
  }

  async remove(key: Uint8Array, context: CallContext): Promise<pb.ResponseHeader> {
    return (await this.#kv.DeleteRange(whole(pb.DeleteRangeRequest, { key }), context)).header!;
  }

  async txn(request: Init<pb.TxnRequest>, context: CallContext): Promise<pb.TxnResponse> {
    return (await this.#kv.Txn(whole(pb.TxnRequest, request), context)) as pb.TxnResponse;
  }

  /** Calls `fn` for each change under `name` from `revision` on, in order; returns the way to end that. */
  follow(name: Uint8Array, revision: number, fn: (deleted: boolean, kv: KeyValue) => void): () => void {
    const { hub } = this.#member;
    const { key, rangeEnd } = prefix(name);
    const range = { key: keyText(key), end: keyText(rangeEnd) };
    const tell = (events: Event[]) => {
      for (const { type, kv } of events) fn(type === 1, kv!);
    };
    const watcher = watcherOf(range, revision, tell, () => catchUp());
    const catchUp = () => {
      while (hub.catchUp(watcher, Number.MAX_SAFE_INTEGER) === "more");
      hub.sync(watcher);
    };
    catchUp();
    return () => hub.unsync(watcher);
  }

  async #range(request: Init<pb.RangeRequest>, context: CallContext) {
    return await this.#kv.Range(whole(pb.RangeRequest, request), context);
  }

  /** Resolves when the key, as it was created then, is no more, or `signal` aborts. */
  #gone({ key, createRevision }: KeyValue, signal: AbortSignal): Promise<void> {
    const { hub, applier } = this.#member;
    const text = keyText(key);
    return new Promise((resolve) => {
      const done = () => {
        hub.unsync(watcher);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const look = (events: Event[]) => events.some(({ type }) => type === 1) && done();
      const watcher = watcherOf({ key: text, end: undefined }, hub.revision + 1, look, done); // behind: look again
      if (signal.aborted || applier.store.at(text)?.create !== createRevision) return resolve();
      hub.sync(watcher);
      signal.addEventListener("abort", done);
    });
  }
}

function watcherOf(range: KeyRange, next: number, deliver: (events: Event[]) => void, behind: () => void): Watcher {
  return { id: 0, range, prevKv: false, filters: [], next, synced: false, deliver, behind };
}

function prefix(name: Uint8Array) {
  const key = Buffer.concat([name, Buffer.from("/")]);
  return { key, rangeEnd: prefixEnd(key) };
}

/** With every field set, as a handler expects it. */
export const whole = <T>({ decode, encode }: MessageCodec<T>, part: Init<T>): T => decode(encode(part));

const createTarget = pb.Compare_CompareTarget.CREATE;
const newest = { limit: 1, sortTarget: 2, sortOrder: 2 };
const oldest = { sortTarget: 2, sortOrder: 1 };
