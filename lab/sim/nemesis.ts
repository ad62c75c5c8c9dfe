import type { Rand } from "../../base/rand.ts";
import type { Message } from "../../etcd-raft/raft/types.ts";
import type { SimMember } from "./sim-member.ts";
import { link, type SimNetwork } from "./sim-network.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** Breaks things at random and mends them again, for as long as it is let. */
export class Nemesis {
  readonly #clock: VirtualClock;
  readonly #rand: Rand;
  readonly #members: readonly SimMember[];
  readonly #network: SimNetwork;
  readonly #note: (event: string) => void;
  readonly #crashesOnly: boolean;
  #stopped = false;

  constructor(
    clock: VirtualClock,
    rand: Rand,
    members: readonly SimMember[],
    network: SimNetwork,
    note: (event: string) => void,
    crashesOnly: boolean,
  ) {
    this.#clock = clock;
    this.#rand = rand;
    this.#members = members;
    this.#network = network;
    this.#note = note;
    this.#crashesOnly = crashesOnly;
  }

  start(): void {
    if (this.#crashesOnly || this.#rand.below(4) === 0) this.#network.delayMs = 1 + this.#rand.next() * 60;
    this.#clock.after(this.#rand.below(1000), () => this.#strike());
  }

  /** A promise just left a member: the worst time for it to crash. */
  promised(message: Message): void {
    const chance = message.type === "AppResp" ? 0.001 : this.#crashesOnly ? 0.7 : 0.1;
    const member = this.#members[Number(message.from) - 1]!;
    if (!this.#stopped && this.#rand.next() < chance) this.#clock.after(0, () => this.#crash(member));
  }

  /** Everything works again, for good. */
  stop(): void {
    this.#stopped = true;
    this.#network.cut.clear();
    this.#network.loss = 0;
    this.#network.duplication = 0;
    this.#network.straggling = 0;
    this.#network.delayMs = 1;
    for (const member of this.#members) {
      member.disk.slowness = 1;
      member.disk.failNextSync = false;
      member.stall(false);
      member.start();
    }
  }

  #strike(): void {
    if (this.#stopped) return;
    const rand = this.#rand;
    const [one, two] = this.#two();
    switch (rand.below(this.#crashesOnly ? 4 : 12)) {
      case 0:
      case 1:
        this.#crash(one);
        break;
      case 2:
        for (const member of this.#members) this.#crash(member);
        break;
      case 3:
        this.#crash(one);
        this.#crash(two);
        break;
      case 4:
        this.#note(`${one.id} is cut off`);
        for (const other of this.#members) {
          this.#network.cut.add(link(one.id, other.id)).add(link(other.id, one.id));
        }
        break;
      case 5:
        this.#note(`${one.id} is not heard by ${two.id}`);
        this.#network.cut.add(link(one.id, two.id));
        two.unreachable(one.id);
        break;
      case 6:
        this.#note(`${one.id} hears nobody`);
        for (const other of this.#members) this.#network.cut.add(link(other.id, one.id));
        break;
      case 7:
        this.#network.loss = rand.next() * 0.4;
        this.#network.duplication = rand.next() * 0.4;
        this.#network.delayMs = 1 + rand.next() * 60;
        this.#note(`the network loses ${(this.#network.loss * 100).toFixed()} %`);
        break;
      case 8:
        one.disk.slowness = 1 + rand.below(200);
        this.#note(`the disk of ${one.id} is ${one.disk.slowness} times slower`);
        break;
      case 9:
        this.#note(`the disk of ${one.id} fails a sync`);
        one.disk.failNextSync = true;
        break;
      case 10:
        this.#note(`${one.id} stalls`);
        one.stall(true);
        this.#clock.after(rand.below(2000), () => one.stall(false));
        break;
      case 11:
        this.#note(`${one.id} hands over to ${two.id}`);
        for (const member of this.#members) member.transfer(two.id);
        break;
    }
    if (rand.below(3) === 0) {
      this.#network.cut.clear();
      this.#network.loss = 0;
      this.#note("the network is whole");
    }
    if (rand.below(3) === 0) for (const member of this.#members) member.disk.slowness = 1;
    const calm = !this.#crashesOnly && rand.below(4) === 0;
    this.#clock.after(rand.below(calm ? 2500 : 400), () => this.#strike());
  }

  #crash(member: SimMember): void {
    if (!member.up) return;
    this.#note(`${member.id} crashes`);
    member.crash();
    for (const other of this.#members) {
      if (this.#rand.below(2) === 0) this.#clock.after(this.#rand.below(20), () => other.unreachable(member.id));
    }
    // Often at once: what was voted, written or promised before is then still on its way.
    this.#clock.after(this.#rand.below(2) === 0 ? 0 : this.#rand.below(3000), () => member.start());
  }

  /** Two members; half of the time the first is one that leads, since that hurts most. */
  #two(): [SimMember, SimMember] {
    const leaders = this.#members.filter((member) => member.raft?.role === "leader");
    const one =
      leaders.length > 0 && this.#rand.below(2) === 0
        ? leaders[this.#rand.below(leaders.length)]!
        : this.#members[this.#rand.below(this.#members.length)]!;
    const others = this.#members.filter((member) => member !== one);
    return [one, others[this.#rand.below(others.length)] ?? one];
  }
}
