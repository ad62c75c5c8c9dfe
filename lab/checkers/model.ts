import type { Base, Compare, KeyValue, RangeRequest, Request, Response, WatchEvent } from "./history.ts";

/**
 * A tiny etcd, written for checkers from the description of its semantics alone: slow, plain, and without forgetting (what
 * is compacted is refused but kept, so that every earlier state can be looked at).
 */
export class Model {
  revision = 1;
  compacted = 0;
  readonly events: WatchEvent[][] = [[], []]; // what happened at each revision, in order
  /** Every state of each key, oldest first; without `kv`: deleted. */
  readonly #versions = new Map<string, { mod: number; kv: KeyValue | undefined }[]>();
  readonly #leases = new Map<string, Set<string>>(); // the keys that hang on each lease

  constructor(base?: Base) {
    if (base === undefined) return;
    this.revision = base.revision;
    this.compacted = base.compacted;
    this.events.length = base.revision + 1;
    for (const id of base.leases) this.#leases.set(id, new Set());
    for (const kv of base.kvs) {
      this.#versions.set(kv.key, [{ mod: kv.mod, kv }]);
      if (!kv.lease) continue;
      const keys = this.#leases.get(kv.lease) ?? new Set();
      this.#leases.set(kv.lease, keys.add(kv.key));
    }
  }

  /** Does what an entry of the log asks for. Undefined: it is refused and changes nothing. */
  execute(request: Request): Response | undefined {
    if (this.#refuses(request)) return undefined;
    this.events[this.revision + 1] = [];
    const response = this.#do(request);
    const events = this.events.pop()!;
    if (events.length > 0) {
      this.revision++;
      this.events.push(events);
    }
    return { ...response, revision: this.revision } as Response;
  }

  /** Answers a range or a transaction that only reads, in the state of `revision`. Undefined: it is refused. */
  read(request: Request, revision: number): Response | undefined {
    if (request.op === "range") {
      if ((request.revision ?? 0) > revision) return undefined;
      return { ...this.#range(request, revision), revision } as Response;
    }
    if (request.op !== "txn") return undefined;
    const succeeded = this.#succeeds(request.compare, revision);
    const responses: Response[] = [];
    for (const inner of succeeded ? request.success : request.failure) {
      const response = this.read(inner, revision);
      if (response === undefined) return undefined;
      delete response.revision;
      responses.push(response);
    }
    return { op: "txn", revision, succeeded, responses };
  }

  /** Looked at before anything is done: a transaction is done whole or not at all. */
  #refuses(request: Request): boolean {
    switch (request.op) {
      case "put":
        return (request.lease ?? "0") !== "0" && !this.#leases.has(request.lease!);
      case "range": {
        const { revision = 0 } = request;
        return revision > this.revision || (revision > 0 && revision < this.compacted);
      }
      case "txn":
        return (this.#succeeds(request.compare, this.revision) ? request.success : request.failure).some((r) =>
          this.#refuses(r),
        );
      case "compact":
        return request.revision <= this.compacted || request.revision > this.revision;
      case "grant":
        return this.#leases.has(request.id);
      case "revoke":
        return !this.#leases.has(request.id);
      default:
        return false;
    }
  }

  #do(request: Request): Response {
    switch (request.op) {
      case "put": {
        const prev = this.#put(request.key, request.value, request.lease ?? "0");
        return { op: "put", ...(request.prevKv && prev && { prev }) };
      }
      case "delete": {
        const prevs = this.#select(request.key, request.end, this.revision + 1);
        for (const { key } of prevs) this.#delete(key);
        return { op: "delete", deleted: prevs.length, ...(request.prevKv && prevs.length > 0 && { prevs }) };
      }
      case "range":
        return this.#range(request, this.revision + 1);
      case "txn": {
        const succeeded = this.#succeeds(request.compare, this.revision);
        const responses = (succeeded ? request.success : request.failure).map((inner) => this.#do(inner));
        return { op: "txn", succeeded, responses };
      }
      case "compact":
        this.compacted = request.revision;
        return { op: "compact", revision: this.revision };
      case "grant":
        this.#leases.set(request.id, new Set());
        return { op: "grant", revision: this.revision, id: request.id, ttl: request.ttl };
      case "revoke":
        for (const key of [...this.#leases.get(request.id)!].sort()) this.#delete(key);
        this.#leases.delete(request.id);
        return { op: "revoke", revision: this.revision };
      case "keepalive":
        throw new Error("a keep-alive is not in the log");
    }
  }

  #put(key: string, value: string, lease: string): KeyValue | undefined {
    const mod = this.revision + 1;
    const prev = this.#at(key, mod);
    const kv: KeyValue = {
      key,
      ...(value !== "" && { value }),
      create: prev?.create ?? mod,
      mod,
      version: (prev?.version ?? 0) + 1,
      ...(lease !== "0" && { lease }),
    };
    if (prev?.lease) this.#leases.get(prev.lease)?.delete(key);
    if (lease !== "0") this.#leases.get(lease)!.add(key);
    this.#record(key, kv, { type: "put", kv, ...(prev && { prev }) });
    return prev;
  }

  #delete(key: string): void {
    const prev = this.#at(key, this.revision + 1)!;
    if (prev.lease) this.#leases.get(prev.lease)?.delete(key);
    this.#record(key, undefined, { type: "delete", kv: { key, mod: this.revision + 1 }, prev });
  }

  #record(key: string, kv: KeyValue | undefined, event: WatchEvent): void {
    const versions = this.#versions.get(key) ?? [];
    versions.push({ mod: this.revision + 1, kv });
    this.#versions.set(key, versions);
    this.events.at(-1)!.push(event);
  }

  #range(request: RangeRequest, now: number): Response {
    const all = this.#select(request.key, request.end, request.revision || now);
    const { limit = 0 } = request;
    const kvs = request.countOnly ? [] : limit > 0 ? all.slice(0, limit) : all;
    return {
      op: "range",
      kvs: request.keysOnly ? kvs.map(({ value: _, ...kv }) => kv) : kvs,
      count: all.length,
      ...(kvs.length < all.length && !request.countOnly && { more: true }),
    };
  }

  /** In the state before the transaction, also of one within another. */
  #succeeds(compare: readonly Compare[], revision: number): boolean {
    return compare.every((one) => this.#holds(one, revision));
  }

  /** Of a range, for all keys in it; a key that is not there counts as all zeros, and its value compares as nothing does. */
  #holds({ key, end, result, target, value }: Compare, revision: number): boolean {
    const there: (KeyValue | undefined)[] = this.#select(key, end, revision);
    if (there.length === 0) {
      if (target === "value") return false;
      there.push(undefined);
    }
    return there.every((kv) => {
      const found =
        target === "value" ? (kv?.value ?? "") : target === "lease" ? (kv?.lease ?? "0") : (kv?.[target] ?? 0);
      const [a, b] = target === "lease" ? [BigInt(found), BigInt(value)] : [found, value];
      if (result === "=") return a === b;
      if (result === "!=") return a !== b;
      return result === "<" ? a < b : a > b;
    });
  }

  #select(key: string, end: string | undefined, revision: number): KeyValue[] {
    if (end === undefined) return [this.#at(key, revision)].filter((kv) => kv !== undefined);
    const keys = [...this.#versions.keys()].filter((one) => inRange(one, key, end)).sort();
    return keys.map((one) => this.#at(one, revision)).filter((kv) => kv !== undefined);
  }

  #at(key: string, revision: number): KeyValue | undefined {
    return this.#versions.get(key)?.findLast(({ mod }) => mod <= revision)?.kv;
  }
}

export function inRange(point: string, key: string, end: string | undefined): boolean {
  if (end === undefined) return point === key;
  return point >= key && (end === "\0" || point < end);
}
