import type { Cancel } from "../../base/clock.ts";
import type { ConfState } from "../raft/conf.ts";
import type { Entry } from "../raft/types.ts";
import { idText } from "./cluster.ts";
import type { Member } from "./member.ts";

/** What changes of configuration mean for a member that runs: peers come and go, and one day it is this member that goes. */
export class ConfChanges {
  readonly #member: Member;
  #timers: Cancel[] = [];
  #removed = false;
  isLearner: boolean; // known at once, since it is asked for at every request

  constructor(member: Member, isLearner: boolean) {
    this.#member = member;
    this.isLearner = member.applier.members.get(member.id)?.isLearner ?? isLearner;
  }

  /** An entry of type 1 or 2. Throws what its proposer is to be told; then nothing has changed. */
  apply(entry: Entry): ConfState {
    const { applier } = this.#member;
    const before = applier.membership.removed.size;
    const conf = applier.reconfigure(entry);
    this.#changed(before);
    return conf;
  }

  replaced(): void {
    this.#changed(0);
  }

  /** One who stays will not talk to us any more, and so knows on its disk that we are out: until then our vote may be needed. */
  onRemoved(): void {
    if (this.#removed) return;
    this.#removed = true;
    const { log, onRemoved } = this.#member.config;
    log.error(
      { member: idText(this.#member.id) },
      "the member has been permanently removed from the cluster: stopping; its data directory is of no use any more, remove it",
    );
    onRemoved();
  }

  close(): void {
    for (const cancel of this.#timers) cancel();
  }

  /** `known`: how many were removed before. */
  #changed(known: number): void {
    const { id, applier, transport, history } = this.#member;
    const { clock, electionMs } = this.#member.config;
    const { conf, members, removed } = applier.membership;
    for (const member of members.values()) transport.setPeer(member);
    // After an election timeout: until then the leader tells the one that leaves what is committed.
    for (const gone of [...removed].slice(known))
      if (gone !== id) this.#timers.push(clock.after(electionMs, () => transport.removePeer(gone)));
    this.isLearner = members.get(id)?.isLearner ?? this.isLearner;
    history.server({ kind: "ConfChanged", voters: conf.voters, learners: conf.learners });
  }
}
