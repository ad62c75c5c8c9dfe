import { sleep } from "../../base/clock.ts";
import type { BidiStream } from "../../net/grpc-client.ts";
import { type WatchRequest, type WatchResponse, WatchService } from "../../proto/generated/etcdserverpb.ts";
import type { Tools } from "../sim/recorder.ts";
import { type Watched, Watcher } from "../sim/watcher.ts";
import { isThere, type StoreMember } from "./members.ts";

/** A watcher that goes on at any member when its stream breaks. */
export class StoreWatcher extends Watcher {
  readonly #members: readonly StoreMember[];
  readonly #tools: Tools;
  #stream: BidiStream<WatchRequest, WatchResponse> | undefined;
  #closed = false;
  readonly #done: Promise<void>;

  constructor(name: string, watched: Watched, members: readonly StoreMember[], tools: Tools, from: number) {
    super(name, watched, tools.recorder, from);
    this.#members = members;
    this.#tools = tools;
    this.#done = this.#run();
  }

  /** Resolves with whether it has heard all up to `revision` in time. */
  async comesTo(revision: number, timeoutMs: number): Promise<boolean> {
    const deadline = this.#tools.clock.monotonic() + timeoutMs;
    while (this.next <= revision) {
      if (this.#tools.clock.monotonic() > deadline) return false;
      this.#stream?.send({ progressRequest: {} });
      await sleep(this.#tools.clock, 20);
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
      const member = this.#members[this.#tools.rand.below(this.#members.length)]!;
      if ((await isThere(member, 200)) && !this.#closed) await this.#follow(member);
      await sleep(this.#tools.clock, 10 + this.#tools.rand.below(50));
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
