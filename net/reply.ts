/** Who hears what a reply became: exactly one of the two, once. */
export interface ReplyListener<R> {
  resolve(value: R): void;
  reject(error: unknown): void;
}

/**
 * An answer that comes later, for one listener: what a promise is, without its functions and microtasks, which were a tenth
 * of a loaded server's time. A handler may return one; `await` takes it too. Settled twice: the first counts.
 */
export class Reply<R> implements PromiseLike<R> {
  #state: "open" | "resolved" | "rejected" = "open";
  #outcome: unknown;
  #listener: ReplyListener<R> | undefined;

  resolve(value: R): void {
    if (this.#state !== "open") return;
    this.#state = "resolved";
    if (this.#listener) this.#listener.resolve(value);
    else this.#outcome = value;
  }

  reject(error: unknown): void {
    if (this.#state !== "open") return;
    this.#state = "rejected";
    if (this.#listener) this.#listener.reject(error);
    else this.#outcome = error;
  }

  /** Called at once when the outcome is known already. */
  settle(listener: ReplyListener<R>): void {
    if (this.#state === "open") this.#listener = listener;
    else if (this.#state === "resolved") listener.resolve(this.#outcome as R);
    else listener.reject(this.#outcome);
  }

  promise(): Promise<R> {
    return new Promise((resolve, reject) => this.settle({ resolve, reject }));
  }

  // biome-ignore lint/suspicious/noThenProperty: so that `await` takes a reply
  then<A = R, B = never>(
    onResolved?: ((value: R) => A | PromiseLike<A>) | null,
    onRejected?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.promise().then(onResolved, onRejected);
  }
}
