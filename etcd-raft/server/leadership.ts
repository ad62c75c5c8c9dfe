import type { Clock } from "../../base/clock.ts";
import { type EtcdError, etcdError } from "../errors.ts";
import { type NodeId, none, type Ready } from "../raft/types.ts";

type SoftState = NonNullable<Ready["softState"]>;

/** Who leads, as far as this member knows, and who waits for that to change. */
export class Leadership {
  readonly #clock: Clock;
  #soft: SoftState;
  #leaderlessSince: number;
  readonly #waiters = new Set<{ fits(): boolean; done(): void }>();

  constructor(clock: Clock, term: number) {
    this.#clock = clock;
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
    for (const waiter of [...this.#waiters]) if (waiter.fits()) waiter.done();
    return before;
  }

  /** Resolves once it is so; throws `error` after `timeoutMs`. */
  until(fits: () => boolean, timeoutMs: number, error: EtcdError): Promise<void> {
    if (fits()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        cancel();
        this.#waiters.delete(waiter);
        settle();
      };
      const waiter = { fits, done: () => end(resolve) };
      const cancel = this.#clock.after(timeoutMs, () => end(() => reject(etcdError(error))));
      this.#waiters.add(waiter);
    });
  }
}
