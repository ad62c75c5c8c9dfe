import type { Rand } from "../../base/rand.ts";
import type { Compare, KeyValue, Request, Response } from "../checkers/history.ts";

export type Role = "writer" | "reader" | "transaction" | "lease";

/**
 * What one client asks for next. Keys `r` are plain registers; `t` are written in transactions and ranges, and with leases.
 * It remembers what it has seen, so that compares and historic reads are of something.
 */
export class Workload {
  readonly #rand: Rand;
  readonly #name: string;
  #counter = 0;
  #revision = 1;
  readonly #seen = new Map<string, KeyValue>();
  #leases: string[] = [];

  constructor(rand: Rand, name: string) {
    this.#rand = rand;
    this.#name = name;
  }

  next(): Request {
    const rand = this.#rand;
    const dice = rand.below(100);
    const register = `r${rand.below(3)}`;
    if (dice < 18) return { op: "put", key: register, value: this.#value() };
    if (dice < 22) return { op: "delete", key: register };
    if (dice < 40) return { op: "range", key: register };
    if (dice < 62) return this.#txn();
    if (dice < 72) return this.#range();
    if (dice < 80) return { op: "put", key: this.#key(), value: this.#value(), prevKv: rand.below(2) === 0 };
    if (dice < 84) return { op: "delete", key: "t2", end: "t4", prevKv: rand.below(2) === 0 };
    if (dice < 86) return { op: "compact", revision: Math.max(1, this.#revision - rand.below(20)) };
    return this.#lease();
  }

  /** The same, as one kind of client alone. Many registers: with one, the search for an order would take too long. */
  as(role: Role): Request {
    const key = `r${this.#rand.below(16)}`;
    const dice = this.#rand.below(10);
    if (role === "reader") return dice < 7 ? { op: "range", key } : this.#range();
    if (role === "writer") return dice < 9 ? { op: "put", key, value: this.#value() } : { op: "delete", key };
    return role === "lease" ? this.#lease() : this.#txn();
  }

  saw(response: Response | undefined): void {
    if (response === undefined) return;
    this.#revision = Math.max(this.#revision, response.revision ?? 0);
    if (response.op === "range") for (const kv of response.kvs) this.#seen.set(kv.key, kv);
    else if (response.op === "txn") for (const inner of response.responses) this.saw(inner);
    else if (response.op === "grant") this.#leases = [...this.#leases.slice(-3), response.id];
    else if (response.op === "keepalive" && response.ttl <= 0) this.#leases.pop();
  }

  #key(): string {
    return `t${this.#rand.below(5)}`;
  }

  /** Unique in the whole history; some are long, so that logs and files grow. */
  #value(): string {
    return `${this.#name}-${++this.#counter}${this.#rand.below(4) === 0 ? ".".repeat(this.#rand.below(600)) : ""}`;
  }

  #txn(): Request {
    const keys = ["t0", "t1", "t2", "t3", "t4"].sort(() => this.#rand.below(3) - 1).slice(0, 1 + this.#rand.below(3));
    const write = (key: string): Request =>
      this.#rand.below(4) === 0 ? { op: "delete", key } : { op: "put", key, value: this.#value() };
    const read = (): Request => ({ op: "range", key: "t", end: "u" });
    const success = [...keys.map(write), read()];
    const failure = this.#rand.below(2) === 0 ? [read()] : [write(this.#key()), read()];
    return { op: "txn", compare: [this.#compare(this.#key())], success, failure };
  }

  #compare(key: string): Compare {
    const seen = this.#seen.get(key);
    const result = (["=", "=", "=", "!=", "<", ">"] as const)[this.#rand.below(6)]!;
    const absent = { version: 0, create: 0, value: "", lease: "0", mod: 0 };
    const target = (Object.keys(absent) as Compare["target"][])[this.#rand.below(5)]!;
    return { key, result, target, value: seen?.[target] ?? absent[target] };
  }

  #range(): Request {
    const rand = this.#rand;
    const serializable = rand.below(3) === 0;
    if (rand.below(3) === 0) {
      const reads: Request[] = [
        { op: "range", key: "t0", serializable },
        { op: "range", key: "t1", end: "t3", serializable },
      ];
      return { op: "txn", compare: [this.#compare("t0")], success: reads, failure: reads.slice(1) };
    }
    return {
      op: "range",
      key: "t",
      end: rand.below(2) === 0 ? "\0" : "u",
      ...(rand.below(3) === 0 && { revision: Math.max(1, this.#revision - rand.below(15)) }),
      ...(rand.below(3) === 0 && { limit: 1 + rand.below(3) }),
      ...(rand.below(5) === 0 && { countOnly: true }),
      ...(rand.below(5) === 0 && { keysOnly: true }),
      ...(serializable && { serializable }),
    };
  }

  #lease(): Request {
    const rand = this.#rand;
    const id = this.#leases.at(-1 - rand.below(2));
    const dice = rand.below(10);
    if (id === undefined || dice === 0)
      return { op: "grant", id: `${1 + rand.below(2 ** 31)}${this.#counter++}`, ttl: 1 + rand.below(4) };
    if (dice === 1) return { op: "revoke", id };
    if (dice < 6) return { op: "keepalive", id };
    return { op: "put", key: this.#key(), value: this.#value(), lease: id };
  }
}
