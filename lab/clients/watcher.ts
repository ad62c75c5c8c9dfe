import { type Clock, sleep } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { BidiStream } from "../../net/grpc-client.ts";
import { type WatchRequest, type WatchResponse, WatchService } from "../../proto/generated/etcdserverpb.ts";
import type { Recorder } from "../sim/recorder.ts";
import { type Watched, Watcher } from "../sim/watcher.ts";
import { isThere, type StoreMember } from "./members.ts";

/** A watcher that goes on at any member when its stream breaks. */
export class StoreWatcher extends Watcher {
  readonly #members: readonly StoreMember[];
  readonly #rand: Rand;
  readonly #clock: Clock;
  #stream: BidiStream<WatchRequest, WatchResponse> | undefined;
  #closed = false;
  readonly #done: Promise<void>;

  constructor(
    name: string,
    watched: Watched,
    members: readonly StoreMember[],
    { recorder, rand, clock }: { recorder: Recorder; rand: Rand; clock: Clock },
    from: number,
  ) {
    super(name, watched, recorder, from);
    this.#members = members;
    this.#rand = rand;
    this.#clock = clock;
    this.#done = this.#run();
  }

  /** Resolves with whether it has heard all up to `revision` in time. */
  async comesTo(revision: number, timeoutMs: number): Promise<boolean> {
    const deadline = this.#clock.monotonic() + timeoutMs;
    while (this.next <= revision) {
      if (this.#clock.monotonic() > deadline) return false;
      this.#stream?.send({ progressRequest: {} });
      await sleep(this.#clock, 20);
    }
    return true;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stream?.cancel();
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const member = this.#members[this.#rand.below(this.#members.length)]!;
      if ((await isThere(member, 200)) && !this.#closed) await this.#follow(member);
      await sleep(this.#clock, 10 + this.#rand.below(50));
    }
  }

  async #follow({ name, client }: StoreMember): Promise<void> {
    const create = this.begin(name);
    try {
      const stream = client.bidi(WatchService.Watch);
      this.#stream = stream;
      stream.send({ createRequest: { ...create, fragment: true } });
      for await (const response of stream) if (this.take(response)) break;
    } catch {
      // However it broke: the watcher is whole and goes on elsewhere.
    }
    this.#stream = undefined;
    this.note({ event: "closed" });
  }
}
