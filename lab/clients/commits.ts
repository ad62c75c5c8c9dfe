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
 * The log of a cluster that is at rest, read off its members' disks bit by bit: what is committed of it, from the first entry.
 * A member that was sent the state has a gap in its log; another has those entries.
 */
export class CommittedLog {
  readonly commits: Commit[] = [];
  readonly #model: Model;
  readonly #begin: number;
  readonly #requestOf = entryReader();
  readonly #clock: Clock;

  readonly #own: (key: string) => boolean;

  /** `own`: whose values matter; those of others, which may be large, are left out. */
  constructor(clock: Clock, base?: Base, own: (key: string) => boolean = () => true) {
    this.#clock = clock;
    this.#model = new Model(base);
    this.#begin = base?.index ?? 0;
    this.#own = own;
  }

  /** Reads on. `heard`: when each revision was first heard of by a watcher. Throws when no member has all of it. */
  async read(members: readonly StoreMember[], heard: (revision: number) => number | undefined): Promise<void> {
    const statuses = await Promise.all(
      members.map(({ client }) => client.unary(MaintenanceService.Status, {}, { timeoutMs: 10_000 })),
    );
    const applied = Math.min(...statuses.map(({ raftAppliedIndex }) => raftAppliedIndex));
    for (const member of members) {
      const next = this.#begin + this.commits.length + 1;
      const entries = (await this.#entries(member)).filter(({ index }) => index >= next && index <= applied);
      if (entries.length < applied - next + 1) continue;
      for (const entry of entries) this.#take(entry, heard);
      return;
    }
    throw new Error(`no member's log has all entries from ${this.#begin + this.commits.length + 1} to ${applied}`);
  }

  #take({ index, term, type, data }: Entry, heard: (revision: number) => number | undefined): void {
    const all = type === 0 && data.length > 0 ? this.#requestOf(decodeRequest(data)) : undefined;
    const request = all && this.#withoutForeignValues(all);
    const before = this.#model.revision;
    if (request) this.#model.execute(request);
    const at = this.#model.revision > before ? heard(this.#model.revision) : undefined;
    this.commits.push({ type: "commit", index, term, ...(at !== undefined && { at }), ...(request && { request }) });
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
