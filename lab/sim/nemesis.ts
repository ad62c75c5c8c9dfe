import type { Rand } from "../../base/rand.ts";
import type { Message } from "../../etcd-raft/raft/types.ts";
import type { SimCluster } from "./sim-cluster.ts";
import type { SimMember } from "./sim-member.ts";
import { link, type SimNetwork } from "./sim-network.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** Breaks things at random and mends them again, for as long as it is let. */
export class Nemesis {
  readonly #clock: VirtualClock;
  readonly #rand: Rand;
  readonly #members: () => readonly SimMember[];
  readonly #network: SimNetwork;
  readonly #note: (event: string) => void;
  readonly #crashesOnly: boolean;
  /** To change its members; undefined: they stay. */
  readonly #cluster: SimCluster | undefined;
  #stopped = false;

  constructor(
    clock: VirtualClock,
    rand: Rand,
    members: () => readonly SimMember[],
    network: SimNetwork,
    note: (event: string) => void,
    { crashesOnly, cluster }: { crashesOnly: boolean; cluster: SimCluster | undefined },
  ) {
    this.#clock = clock;
    this.#rand = rand;
    this.#members = members;
    this.#network = network;
    this.#note = note;
    this.#crashesOnly = crashesOnly;
    this.#cluster = cluster;
    network.onSend = (message) => this.#sent(message);
  }

  start(): void {
    if (this.#crashesOnly || this.#rand.below(4) === 0) this.#network.delayMs = 1 + this.#rand.next() * 60;
    this.#clock.after(this.#rand.below(1000), () => this.#strike());
  }

  /** Everything works again, for good. */
  stop(): void {
    this.#stopped = true;
    this.#network.cut.clear();
    this.#network.loss = 0;
    this.#network.duplication = 0;
    this.#network.straggling = 0;
    this.#network.delayMs = 1;
    for (const member of this.#members()) {
      member.disk.slowness = 1;
      member.disk.failNextSync = false;
      member.disk.full = false;
      member.stall(false);
      member.start();
    }
  }

  /** A promise just left a member: the worst time for it to crash. */
  #sent(message: Message): void {
    if (message.type !== "VoteResp" && message.type !== "AppResp") return;
    const chance = message.type === "AppResp" ? 0.001 : this.#crashesOnly ? 0.7 : 0.1;
    const member = this.#members().find(({ id }) => id === message.from);
    if (!this.#stopped && this.#rand.next() < chance && member) this.#clock.after(0, () => this.#crash(member));
  }

  #strike(): void {
    if (this.#stopped) return;
    const rand = this.#rand;
    const [one, two] = this.#two();
    switch (rand.below(this.#crashesOnly ? 4 : 15)) {
      case 0:
      case 1:
        this.#crash(one);
        break;
      case 2:
        for (const member of this.#members()) this.#crash(member);
        break;
      case 3:
        this.#crash(one);
        this.#crash(two);
        break;
      case 4:
        this.#note(`${one.name} is cut off`);
        for (const other of this.#members()) {
          this.#network.cut.add(link(one.id, other.id)).add(link(other.id, one.id));
        }
        break;
      case 5:
        this.#note(`${one.name} is not heard by ${two.name}`);
        this.#network.cut.add(link(one.id, two.id));
        break;
      case 6:
        this.#note(`${one.name} hears nobody`);
        for (const other of this.#members()) this.#network.cut.add(link(other.id, one.id));
        break;
      case 7:
        this.#network.loss = rand.next() * 0.4;
        this.#network.duplication = rand.next() * 0.4;
        this.#network.delayMs = 1 + rand.next() * 60;
        this.#note(`the network loses ${(this.#network.loss * 100).toFixed()} %`);
        break;
      case 8:
        one.disk.slowness = 1 + rand.below(200);
        this.#note(`the disk of ${one.name} is ${one.disk.slowness} times slower`);
        break;
      case 9:
        this.#note(`the disk of ${one.name} fails a sync`);
        one.disk.failNextSync = true;
        break;
      case 10:
        this.#note(`${one.name} stalls`);
        one.stall(true);
        this.#clock.after(rand.below(2000), () => one.stall(false));
        break;
      case 11:
        this.#note(`${one.name} hands over to ${two.name}`);
        one.life?.run(() => one.member?.transferTo(two.id)).catch(() => {});
        break;
      case 12:
        one.offset = Math.round((rand.next() - 0.5) * 20_000);
        this.#note(`the wall clock of ${one.name} jumps, it is ${one.offset} ms off`);
        break;
      case 13:
        this.#note(`the connection of ${one.name} and ${two.name} breaks`);
        this.#network.break(one.id, two.id);
        break;
      case 14:
        this.#note(`the disk of ${one.name} is full`);
        one.disk.full = true;
        this.#clock.after(rand.below(3000), () => {
          one.disk.full = false;
        });
        break;
    }
    if (rand.below(3) === 0) this.#cluster?.change();
    if (rand.below(3) === 0) {
      this.#network.cut.clear();
      this.#network.loss = 0;
      this.#note("the network is whole");
    }
    if (rand.below(3) === 0) for (const member of this.#members()) member.disk.slowness = 1;
    const calm = !this.#crashesOnly && rand.below(4) === 0;
    this.#clock.after(rand.below(calm ? 2500 : 400), () => this.#strike());
  }

  #crash(member: SimMember): void {
    if (!member.up) return;
    this.#note(`${member.name} crashes`);
    member.crash();
    // Often at once: what was voted, written or promised before is then still on its way.
    this.#clock.after(this.#rand.below(2) === 0 ? 0 : this.#rand.below(3000), () => {
      if (this.#members().includes(member)) member.start();
    });
  }

  /** Two members; half of the time the first is one that leads, since that hurts most. */
  #two(): [SimMember, SimMember] {
    const members = this.#members();
    const leaders = members.filter(({ isLeader }) => isLeader);
    const one =
      leaders.length > 0 && this.#rand.below(2) === 0
        ? leaders[this.#rand.below(leaders.length)]!
        : members[this.#rand.below(members.length)]!;
    const others = members.filter((member) => member !== one);
    return [one, others[this.#rand.below(others.length)] ?? one];
  }
}
