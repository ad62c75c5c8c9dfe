import { internalError } from "../../apimachinery/status.ts";
import { type Clock, sleep, systemClock } from "../../base/clock.ts";
import { type EtcdClient, keyAfter, prefixEnd, type RequestOpInit } from "../../etcd-raft/client/client.ts";
import type { KeyValue } from "../../proto/generated/mvccpb.ts";
import { Convoys } from "./convoys.ts";
import type { Transformer } from "./encryption.ts";
import { isUncertain, storageError } from "./errors.ts";
import { decodeValue, type StoredObject } from "./stored-object.ts";

/**
 * The apiserver's view of the store: objects under `/registry/...` and conditional writes, as the etcd requests that
 * kube-apiserver makes (kubernetes/apiserver, pkg/storage/etcd3). Failures are StatusErrors.
 */
export class Storage {
  readonly #etcd: Pick<EtcdClient, "range" | "txn">;
  readonly #clock: Clock;
  readonly #convoys: Convoys;
  readonly #transformerOf: (key: string) => Transformer | undefined;

  constructor(
    etcd: Pick<EtcdClient, "range" | "txn">,
    clock: Clock = systemClock,
    transformerOf: (key: string) => Transformer | undefined = () => undefined,
  ) {
    this.#etcd = etcd;
    this.#clock = clock;
    this.#convoys = new Convoys(clock);
    this.#transformerOf = transformerOf;
  }

  /** What the store holds, decrypted. Throws an Error for what is no object, and for what no key opens. */
  decode(kv: Pick<KeyValue, "key" | "value" | "modRevision">): StoredObject {
    const key = Buffer.from(kv.key).toString();
    const opened = this.#transformerOf(key)?.fromStore(key, kv.value);
    const object = decodeValue(key, opened?.value ?? kv.value, kv.modRevision);
    object.stale = opened?.stale ?? false;
    return object;
  }

  /** Linearizable. */
  async get(key: string): Promise<StoredObject | undefined> {
    const { kvs } = await this.#range({ key, limit: 1 });
    return kvs[0] && this.#readable(kvs[0]);
  }

  /**
   * Keys with `prefix`, from after `startAfter` on, at most `limit`, at `revision` (0: now). `remaining` counts what is
   * left behind the page. Throws 410 Expired when the revision is compacted.
   */
  async list(prefix: string, options: ListOptions = {}): Promise<Page> {
    const { revision = 0, limit = 0, startAfter, onUnreadable } = options;
    const key = startAfter === undefined ? prefix : keyAfter(startAfter);
    const response = await this.#range({ key, rangeEnd: prefixEnd(prefix), limit, revision });
    const objects: StoredObject[] = [];
    for (const kv of response.kvs) {
      try {
        objects.push(this.decode(kv));
      } catch (error) {
        if (onUnreadable === undefined) throw internalError(error);
        onUnreadable(Buffer.from(kv.key).toString(), error);
      }
    }
    const lastKey = response.kvs.at(-1)?.key;
    return {
      objects,
      revision: revision || response.header!.revision,
      remaining: response.count - response.kvs.length,
      lastKey: lastKey && Buffer.from(lastKey).toString(),
    };
  }

  /** The store's revision now: everything written before this call is at or below it. */
  async currentRevision(timeoutMs = settleMs): Promise<number> {
    const { header } = await this.#range({ key: registryRoot, limit: 1, keysOnly: true }, timeoutMs);
    return header!.revision;
  }

  /**
   * All writes or none, each under the condition that its key still has `revision` (0: does not exist).
   *
   * A Txn whose answer got lost may have happened or not. It is sent again: the conditions make that harmless, and when
   * they no longer hold because our own values are there, it had happened.
   */
  async commit(plain: Write[]): Promise<Written> {
    const writes = plain.map((write) => {
      const transformer = write.value && this.#transformerOf(write.key);
      return transformer ? { ...write, value: transformer.toStore(write.key, write.value!) } : write;
    });
    const creates = writes.every(({ revision }) => revision === 0);
    const request = {
      compare: writes.map(({ key, revision }) => ({ key, result: equal, target: mod, modRevision: revision })),
      success: writes.map(operation),
      failure: creates ? [] : writes.map(({ key }): RequestOpInit => ({ requestRange: { key, limit: 1 } })),
    };
    const deadline = this.#clock.monotonic() + settleMs;
    for (let uncertain = false; ; uncertain = true) {
      try {
        const { succeeded, header, responses } = await this.#convoys.send(() =>
          this.#etcd.txn(request, { timeoutMs: attemptMs }),
        );
        if (succeeded) return { committed: true, revision: header!.revision };
        const kvs = creates
          ? await Promise.all(writes.map(async ({ key }) => (await this.#range({ key, limit: 1 })).kvs[0]))
          : responses.map(({ responseRange }) => responseRange?.kvs[0]);
        if (uncertain && writes.every((write, i) => isOwn(write, kvs[i]))) {
          const revision = Math.max(...kvs.map((kv) => kv?.modRevision ?? 0));
          return { committed: true, revision: revision || (await this.currentRevision()) };
        }
        return { committed: false, current: kvs.map((kv) => kv && this.#readable(kv)) };
      } catch (error) {
        if (!isUncertain(error) || this.#clock.monotonic() >= deadline) throw storageError(error);
        await sleep(this.#clock, retryMs);
      }
    }
  }

  #readable(kv: KeyValue): StoredObject {
    try {
      return this.decode(kv);
    } catch (error) {
      throw internalError(error);
    }
  }

  async #range(request: Parameters<EtcdClient["range"]>[0], timeoutMs = settleMs) {
    try {
      return await this.#etcd.range(request, { timeoutMs });
    } catch (error) {
      throw storageError(error);
    }
  }
}

export interface Write {
  key: string;
  /** What the key must be at; 0: absent. */
  revision: number;
  /** Undefined deletes. */
  value?: Buffer | undefined;
  /** The key goes when this lease of the store ends. */
  lease?: bigint | undefined;
}

export type Written =
  | { committed: true; revision: number }
  /** What each key holds instead. */
  | { committed: false; current: (StoredObject | undefined)[] };

export interface ListOptions {
  revision?: number;
  limit?: number;
  startAfter?: string;
  /** What to do about a value that is no object of ours; without it the list fails. */
  onUnreadable?(key: string, error: unknown): void;
}

export interface Page {
  objects: StoredObject[];
  revision: number;
  remaining: number;
  lastKey: string | undefined;
}

export const registryRoot = "/registry/";

const equal = 0;
const mod = 2;
const attemptMs = 2000;
const settleMs = 10_000;
const retryMs = 25;

function operation({ key, value, lease = 0n }: Write): RequestOpInit {
  return value === undefined ? { requestDeleteRange: { key } } : { requestPut: { key, value, lease } };
}

function isOwn({ value }: Write, found: KeyValue | undefined): boolean {
  return value === undefined ? found === undefined : found !== undefined && value.equals(found.value);
}
