import { type Clock, sleep } from "../../base/clock.ts";
import type { Entry } from "../../etcd-raft/raft/types.ts";
import { decodeRequest } from "../../etcd-raft/server/applier.ts";
import { nodeDisk } from "../../etcd-raft/wal/disk.ts";
import { readWal, WalError } from "../../etcd-raft/wal/reader.ts";
import { MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import { entryReader } from "../checkers/etcd-messages.ts";
import type { Base, Commit, Request } from "../checkers/history.ts";
import { Model } from "../checkers/model.ts";
import type { StoreMember } from "./members.ts";

/**
 * A cluster's log, read off its members' disks bit by bit: what is committed of it, from where a history begins. A member
 * that was sent the state, or is new, has a gap in its log; others have those entries.
 */
export class CommittedLog {
  readonly #commits: { commit: Commit; revision: number | undefined }[] = [];
  readonly #model: Model;
  readonly #begin: number;
  readonly #requestOf = entryReader();
  readonly #clock: Clock;
  #last: Promise<unknown> = Promise.resolve();
  readonly #own: (key: string) => boolean;

  /** `own`: whose values matter; those of others, which may be large, are left out. */
  constructor(clock: Clock, base: Base, own: (key: string) => boolean) {
    this.#clock = clock;
    this.#model = new Model(base);
    this.#begin = base.index;
    this.#own = own;
  }

  /** Reads on, as far as all have come. Throws when entries are in no member's log any more, or a member is away. */
  read(members: readonly StoreMember[]): Promise<void> {
    const done = this.#last.then(() => this.#readOn(members));
    this.#last = done.catch(() => {});
    return done;
  }

  async #readOn(members: readonly StoreMember[]): Promise<void> {
    const statuses = await Promise.all(
      members.map(({ client }) => client.unary(MaintenanceService.Status, {}, { timeoutMs: 2000 })),
    );
    const applied = Math.min(...statuses.map(({ raftAppliedIndex }) => raftAppliedIndex));
    const next = this.#begin + this.#commits.length + 1;
    const found = new Map<number, Entry>();
    for (const member of members) {
      if (found.size > applied - next) break;
      for (const entry of await this.#entries(member))
        if (entry.index >= next && entry.index <= applied) found.set(entry.index, entry);
    }
    for (let index = next; index <= applied; index++) {
      const entry = found.get(index);
      if (entry === undefined) throw new Error(`no member's log has entry ${index}; all have come to ${applied}`);
      this.#take(entry);
    }
  }

  /** `heard`: when each revision was first heard of by a watcher. */
  commits(heard: (revision: number) => number | undefined): Commit[] {
    return this.#commits.map(({ commit, revision }) => {
      const at = revision && heard(revision);
      return { ...commit, ...(at !== undefined && { at }) };
    });
  }

  #take({ index, term, type, data }: Entry): void {
    const all = type === 0 && data.length > 0 ? this.#requestOf(decodeRequest(data)) : undefined;
    const request = all && this.#withoutForeignValues(all);
    const before = this.#model.revision;
    if (request) this.#model.execute(request);
    const revision = this.#model.revision > before ? this.#model.revision : undefined;
    this.#commits.push({ commit: { type: "commit", index, term, ...(request && { request }) }, revision });
  }

  #withoutForeignValues(request: Request): Request {
    const all = (requests: Request[]) => requests.map((inner) => this.#withoutForeignValues(inner));
    if (request.op === "txn") return { ...request, success: all(request.success), failure: all(request.failure) };
    return request.op === "put" && !this.#own(request.key) ? { ...request, value: "" } : request;
  }

  /** The member still runs, and may be writing (a lease that ends): a record that is half there is looked at again. */
  async #entries({ dir }: StoreMember): Promise<Entry[]> {
    for (let attempt = 0; ; attempt++) {
      try {
        const all: Entry[] = [];
        const { entries } = await readWal(`${dir}/member/wal`, nodeDisk, (run) => void all.push(...run));
        return [...all, ...entries];
      } catch (error) {
        if (!(error instanceof WalError) || attempt === 5) throw error;
        await sleep(this.#clock, 20);
      }
    }
  }
}
