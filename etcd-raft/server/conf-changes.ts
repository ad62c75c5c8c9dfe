import type { Cancel, Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { ConfState } from "../raft/conf.ts";
import type { Entry } from "../raft/types.ts";
import type { Applier } from "./applier.ts";
import { idText } from "./cluster.ts";
import type { History } from "./history.ts";
import type { PeerTransport } from "./transport.ts";

/** What changes of configuration mean for a member that runs: peers come and go, and one day it is this member that goes. */
export interface ConfChangesOptions {
  id: bigint;
  applier: Applier;
  transport: PeerTransport;
  history: History;
  clock: Clock;
  log: Logger;
  electionMs: number;
  /** We are out, and nobody needs us any more. */
  onRemoved(): void;
}

export class ConfChanges {
  readonly #options: ConfChangesOptions;
  #timers: Cancel[] = [];
  #removed = false;
  /** Known at once, since it is asked for at every request. */
  isLearner: boolean;

  constructor(options: ConfChangesOptions, isLearner: boolean) {
    this.#options = options;
    this.isLearner = options.applier.members.get(options.id)?.isLearner ?? isLearner;
  }

  /** An entry of type 1 or 2. `outcome` throws what its proposer is to be told; then nothing has changed. */
  apply(entry: Entry): { id: bigint; outcome: () => ConfState } {
    const { applier } = this.#options;
    const { id, outcome } = applier.reconfigure(entry);
    return {
      id,
      outcome: () => {
        const before = applier.membership.removed.size;
        const conf = outcome();
        this.#changed(before);
        return conf;
      },
    };
  }

  /** Another state has taken the place of ours. */
  replaced(): void {
    this.#changed(0);
  }

  /** One who stays will not talk to us any more, and so knows on its disk that we are out: until then our vote may be needed. */
  onRemoved(): void {
    if (this.#removed) return;
    this.#removed = true;
    const { id, log, onRemoved } = this.#options;
    log.error(
      { member: idText(id) },
      "the member has been permanently removed from the cluster: stopping; its data directory is of no use any more, remove it",
    );
    onRemoved();
  }

  close(): void {
    for (const cancel of this.#timers) cancel();
  }

  /** `known`: how many were removed before. */
  #changed(known: number): void {
    const { id, applier, transport, history, clock, electionMs } = this.#options;
    const { conf, members, removed } = applier.membership;
    for (const member of members.values()) transport.setPeer(member);
    // After an election timeout: until then the leader tells the one that leaves what is committed.
    for (const gone of [...removed].slice(known))
      if (gone !== id) this.#timers.push(clock.after(electionMs, () => transport.removePeer(gone)));
    this.isLearner = members.get(id)?.isLearner ?? this.isLearner;
    history.server({ kind: "ConfChanged", voters: conf.voters, learners: conf.learners });
  }
}
