import type { Clock } from "../../base/clock.ts";
import { type NodeId, none, type Ready } from "../raft/types.ts";
import { Waiters } from "./waiters.ts";

type SoftState = NonNullable<Ready["softState"]>;

/** Who leads, as far as this member knows, and who waits for that to change. */
export class Leadership {
  readonly #clock: Clock;
  #soft: SoftState;
  #leaderlessSince: number;
  readonly waiters: Waiters;

  constructor(clock: Clock, term: number) {
    this.#clock = clock;
    this.waiters = new Waiters(clock);
    this.#leaderlessSince = clock.monotonic();
    this.#soft = { role: "follower", leader: none, term };
  }

  get leader(): NodeId {
    return this.#soft.leader;
  }

  get isLeader(): boolean {
    return this.#soft.role === "leader";
  }

  get term(): number {
    return this.#soft.term;
  }

  /** Milliseconds without a leader; 0 with one. */
  get leaderlessMs(): number {
    return this.leader === none ? this.#clock.monotonic() - this.#leaderlessSince : 0;
  }

  /** Returns what was before. */
  change(state: SoftState): SoftState {
    const before = this.#soft;
    this.#soft = state;
    if (state.leader === none && before.leader !== none) this.#leaderlessSince = this.#clock.monotonic();
    this.waiters.wake();
    return before;
  }
}
