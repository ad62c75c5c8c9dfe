import type { Rand } from "../../base/rand.ts";
import { WatchRequest, WatchResponse } from "../../proto/generated/etcdserverpb.ts";
import type { Init } from "../../proto/wire.ts";
import { type Watched, Watcher } from "./watcher.ts";
import type { World } from "./world.ts";

/** A watcher that goes on at any other member when its stream breaks, when it likes, and now and then reads slowly. */
export class SimWatcher extends Watcher {
  readonly #world: World;
  readonly #rand: Rand;
  #stream = 0;
  #close: () => void = () => {};
  #ask: (request: Init<WatchRequest>) => void = () => {};

  constructor(name: string, watched: Watched, world: World, rand: Rand) {
    super(name, watched, world.recorder, 0);
    this.#world = world;
    this.#rand = rand;
  }

  /** Opens a stream at some member that is up, now or as soon as there is one. */
  open(): void {
    this.#close();
    const stream = ++this.#stream;
    const members = this.#world.members().filter(({ services }) => services);
    const member = members[this.#rand.below(members.length)];
    const { life, services } = member ?? {};
    if (!member || !life || !services) {
      this.#again(stream);
      return;
    }
    const create = this.begin(member.name);
    const abort = new AbortController();
    let over = false;
    const broken = () => {
      if (over || stream !== this.#stream) return;
      over = true;
      this.note({ event: "closed" });
      this.#again(stream);
    };
    life.atEnd(() => this.#world.clock.after(this.#rand.below(5), broken));
    this.#close = () => {
      over = true;
      this.#world.clock.after(this.#rand.below(3), () => life.enter(() => abort.abort()));
    };
    let arrival = 0; // what the stream carries stays in order
    let unread = 0;
    let drained: (() => void)[] = [];
    const send = (response: Init<WatchResponse>): boolean => {
      const bytes = WatchResponse.encode(response);
      const slow = this.#rand.below(40) === 0 ? this.#rand.below(300) : 0;
      arrival = Math.max(arrival + 1e-6, this.#world.clock.monotonic() + 0.2 + this.#rand.next() + slow);
      unread++;
      this.#world.clock.after(arrival - this.#world.clock.monotonic(), () => {
        unread--;
        if (unread === 0) {
          const waiting = drained;
          drained = [];
          for (const go of waiting) life.enter(go);
        }
        if (!over && life.alive && this.take(WatchResponse.decode(bytes))) broken();
      });
      return unread < maxUnread;
    };
    const call = {
      send: Object.assign(send, {
        drained: () => new Promise<void>((resolve) => (unread === 0 ? resolve() : drained.push(resolve))),
      }),
      end: () => void this.#world.clock.after(this.#rand.below(3), broken),
    };
    let asked = 0; // and what is asked on it
    life.enter(() => {
      const handler = services.watch({ metadata: {}, peer: undefined, signal: abort.signal }, call);
      this.#ask = (request) => {
        const bytes = WatchRequest.encode(request);
        asked = Math.max(asked + 1e-6, this.#world.clock.monotonic() + this.#rand.next());
        const arrives = () => life.enter(() => handler.onMessage(WatchRequest.decode(bytes)));
        this.#world.clock.after(asked - this.#world.clock.monotonic(), arrives);
      };
      this.#ask({ createRequest: create });
    });
  }

  askProgress(): void {
    this.#ask({ progressRequest: {} });
  }

  #again(stream: number): void {
    this.#world.clock.after(1 + this.#rand.below(200), () => {
      if (stream === this.#stream) this.open();
    });
  }
}

const maxUnread = 3; // responses on their way, beyond which the transport asks the server to wait
