import { isConflict, isNotFound, StatusError } from "../apimachinery/status.ts";
import type { Logger } from "../base/logger.ts";
import { OwnWrites } from "../client/own-writes.ts";
import type { Parts } from "../client/types.ts";
import { Workqueue } from "../client/workqueue.ts";

/**
 * The loop that all controllers share: a key comes out of the workqueue, `gather` reads the informers' stores,
 * `reconcile` decides, `execute` acts. Level-triggered: a key says only that something changed, so events may be lost,
 * repeated and merged without harm, and a controller that starts anew does the right thing.
 */
export interface Controller<S, A> {
  name: string;
  /** From informer stores only; undefined when there is nothing to decide on. */
  gather(key: string): S | undefined;
  /** Pure: no clock, no I/O. Time, where it matters, is in the state. */
  reconcile(state: S): readonly (A | RequeueAfter)[];
  execute(action: A, state: S, signal: AbortSignal): Promise<void>;
  /** Keys worked on at the same time. */
  workers?: number;
}

/** The action that every reconciler may give: look again later, as time alone will change the decision. */
export interface RequeueAfter {
  type: "RequeueAfter";
  ms: number;
}

export class Runner<S, A extends { type: string }> {
  readonly queue: Workqueue;
  /** Writes of ours that the informers must show before the next decision on the same key. */
  readonly writes = new OwnWrites();
  readonly #controller: Controller<S, A>;
  readonly #log: Logger;

  constructor(controller: Controller<S, A>, { clock, log }: Pick<Parts, "clock" | "log">) {
    this.#controller = controller;
    this.#log = log.child({ controller: controller.name });
    this.queue = new Workqueue(clock);
  }

  /** Call when the informers have synced. Returns when `signal` aborts and no key is being worked on. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = () => this.queue.shutDown();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    await Promise.all(Array.from({ length: this.#controller.workers ?? 5 }, () => this.#work(signal)));
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (let key = await this.queue.get(); key !== undefined; key = await this.queue.get()) {
      try {
        await this.#sync(key, signal);
        this.queue.forget(key);
      } catch (err) {
        if (signal.aborted) return;
        if (!(err instanceof StatusError)) throw err;
        // What we acted on has moved on: its event is on the way or already queued.
        const expected = isConflict(err) || isNotFound(err);
        this.#log[expected ? "debug" : "warn"]({ err, key, action: err.cause }, "Error syncing, will retry");
        this.queue.addRateLimited(key);
      } finally {
        this.queue.done(key);
      }
    }
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const controller = this.#controller;
    if (!this.writes.allVisible(key)) {
      // The event that shows our write brings the key back. A relist may swallow it: created and deleted meanwhile.
      this.queue.addAfter(key, invisibleRetryMs);
      return;
    }
    const state = controller.gather(key);
    if (state === undefined) {
      this.writes.forget(key);
      return;
    }
    for (const action of controller.reconcile(state)) {
      if (isRequeue(action)) this.queue.addAfter(key, action.ms);
      else await controller.execute(action, state, signal);
    }
  }
}

const invisibleRetryMs = 1000;

function isRequeue(action: { type: string }): action is RequeueAfter {
  return action.type === "RequeueAfter";
}
