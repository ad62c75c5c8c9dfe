import { type Clock, sleep } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { BidiStream } from "../../net/grpc-client.ts";
import { type WatchRequest, type WatchResponse, WatchService } from "../../proto/generated/etcdserverpb.ts";
import { bytesOf, ofEvent } from "../checkers/etcd-messages.ts";
import type { WatchLine } from "../checkers/history.ts";
import type { Recorder } from "../sim/recorder.ts";
import type { Watched } from "../sim/watchers.ts";
import type { StoreMember } from "./members.ts";

/** A watcher that goes on at any member when its stream breaks. */
export class StoreWatcher {
  readonly name: string;
  readonly #watched: Watched;
  readonly #members: readonly StoreMember[];
  readonly #recorder: Recorder;
  readonly #rand: Rand;
  readonly #clock: Clock;
  /** The first revision that it has not heard all of. */
  next: number;
  /** When it first heard of each revision. */
  readonly heard = new Map<number, number>();
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
    this.name = name;
    this.next = from;
    this.#watched = watched;
    this.#members = members;
    this.#recorder = recorder;
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
      const there = await member.client.ready(200).then(
        () => true,
        () => false,
      );
      if (there && !this.#closed) await this.#follow(member);
      await sleep(this.#clock, 10 + this.#rand.below(50));
    }
  }

  async #follow({ name, client }: StoreMember): Promise<void> {
    const note = (line: Partial<WatchLine>) => {
      const head = { type: "watch", watch: this.name, member: name, at: this.#recorder.now() };
      this.#recorder.add({ ...head, ...line } as WatchLine);
    };
    const { key, end = "", noPut, noDelete, prevKv = false } = this.#watched;
    note({ event: "open", ...this.#watched, from: this.next });
    const filters = [...(noPut ? [0] : []), ...(noDelete ? [1] : [])];
    const create = { key: bytesOf(key), rangeEnd: bytesOf(end), startRevision: this.next, prevKv, filters };
    try {
      const stream = client.bidi(WatchService.Watch);
      this.#stream = stream;
      stream.send({ createRequest: { ...create, progressNotify: true, fragment: true } });
      for await (const response of stream) if (this.#take(response, note)) break;
    } catch {
      // However it broke: the watcher is whole and goes on elsewhere.
    }
    this.#stream = undefined;
    note({ event: "closed" });
  }

  /** Returns whether this stream is of no more use. */
  #take(response: WatchResponse, note: (line: Partial<WatchLine>) => void): boolean {
    const revision = response.header!.revision;
    if (response.canceled) {
      const { compactRevision, cancelReason } = response;
      this.next = compactRevision;
      note({ event: "canceled", ...(compactRevision > 0 && { compacted: compactRevision }), reason: cancelReason });
      return true;
    }
    if (response.created) {
      note({ event: "created", revision });
    } else if (response.events.length > 0) {
      const events = response.events.map(ofEvent);
      note({ event: "events", revision, events, ...(response.fragment && { fragment: true }) });
      const at = this.#recorder.now();
      for (const { kv } of events) if (!this.heard.has(kv.mod)) this.heard.set(kv.mod, at);
      if (!response.fragment) this.next = Math.max(this.next, events.at(-1)!.kv.mod + 1);
    } else {
      note({ event: "progress", revision });
      this.next = Math.max(this.next, revision + 1);
    }
    return false;
  }
}
