import type { Rand } from "../../base/rand.ts";
import type { Message } from "../../etcd-raft/raft/types.ts";
import type { SimCluster } from "./sim-cluster.ts";
import type { SimMember } from "./sim-member.ts";
import { link } from "./sim-network.ts";
import type { World } from "./world.ts";

/** Breaks things at random and mends them again, for as long as it is let. */
export class Nemesis {
  readonly #world: World;
  readonly #rand: Rand;
  readonly #crashesOnly: boolean;
  readonly #cluster: SimCluster | undefined; // to change its members; undefined: they stay
  #stopped = false;

  constructor(world: World, rand: Rand, crashesOnly: boolean, cluster: SimCluster | undefined) {
    this.#world = world;
    this.#rand = rand;
    this.#crashesOnly = crashesOnly;
    this.#cluster = cluster;
    world.network.onSend = (message) => this.#sent(message);
  }

  start(): void {
    if (this.#crashesOnly || this.#rand.below(4) === 0) this.#world.network.delayMs = 1 + this.#rand.next() * 60;
    this.#world.clock.after(this.#rand.below(1000), () => this.#strike());
  }

  /** Everything works again, for good. */
  stop(): void {
    this.#stopped = true;
    const { network, members } = this.#world;
    network.cut.clear();
    Object.assign(network, { loss: 0, duplication: 0, straggling: 0, delayMs: 1 });
    for (const member of members()) {
      Object.assign(member.disk, { slowness: 1, failNextSync: false, full: false });
      member.stall(false);
      member.start();
    }
  }

  /** A promise just left a member: the worst time for it to crash. */
  #sent(message: Message): void {
    if (message.type !== "VoteResp" && message.type !== "AppResp") return;
    const chance = message.type === "AppResp" ? 0.001 : this.#crashesOnly ? 0.7 : 0.1;
    const member = this.#world.members().find(({ id }) => id === message.from);
    if (!this.#stopped && this.#rand.next() < chance && member) this.#world.clock.after(0, () => this.#crash(member));
  }

  #strike(): void {
    if (this.#stopped) return;
    const rand = this.#rand;
    const { network, clock, note, members } = this.#world;
    const [one, two] = this.#two();
    const faults: (() => void)[] = [
      () => this.#crash(one),
      () => this.#crash(one),
      () => {
        for (const member of members()) this.#crash(member);
      },
      () => {
        this.#crash(one);
        this.#crash(two);
      },
      () => {
        note(`${one.name} is cut off`);
        for (const other of members()) network.cut.add(link(one.id, other.id)).add(link(other.id, one.id));
      },
      () => {
        note(`${one.name} is not heard by ${two.name}`);
        network.cut.add(link(one.id, two.id));
      },
      () => {
        note(`${one.name} hears nobody`);
        for (const other of members()) network.cut.add(link(other.id, one.id));
      },
      () => {
        network.loss = rand.next() * 0.4;
        network.duplication = rand.next() * 0.4;
        network.delayMs = 1 + rand.next() * 60;
        note(`the network loses ${(network.loss * 100).toFixed()} %`);
      },
      () => {
        one.disk.slowness = 1 + rand.below(200);
        note(`the disk of ${one.name} is ${one.disk.slowness} times slower`);
      },
      () => {
        note(`the disk of ${one.name} fails a sync`);
        one.disk.failNextSync = true;
      },
      () => {
        note(`${one.name} stalls`);
        one.stall(true);
        clock.after(rand.below(2000), () => one.stall(false));
      },
      () => {
        note(`${one.name} hands over to ${two.name}`);
        one.life?.run(() => one.member?.transferTo(two.id)).catch(() => {});
      },
      () => {
        one.offset = Math.round((rand.next() - 0.5) * 20_000);
        note(`the wall clock of ${one.name} jumps, it is ${one.offset} ms off`);
      },
      () => {
        note(`the connection of ${one.name} and ${two.name} breaks`);
        network.break(one.id, two.id);
      },
      () => {
        note(`the disk of ${one.name} is full`);
        one.disk.full = true;
        clock.after(rand.below(3000), () => Object.assign(one.disk, { full: false }));
      },
    ];
    faults[rand.below(this.#crashesOnly ? 4 : faults.length)]!();
    if (rand.below(3) === 0) this.#cluster?.change();
    if (rand.below(3) === 0) {
      network.cut.clear();
      network.loss = 0;
      note("the network is whole");
    }
    if (rand.below(3) === 0) for (const member of members()) member.disk.slowness = 1;
    const calm = !this.#crashesOnly && rand.below(4) === 0;
    clock.after(rand.below(calm ? 2500 : 400), () => this.#strike());
  }

  #crash(member: SimMember): void {
    if (!member.up) return;
    this.#world.note(`${member.name} crashes`);
    member.crash();
    // Often at once: what was voted, written or promised before is then still on its way.
    this.#world.clock.after(this.#rand.below(2) === 0 ? 0 : this.#rand.below(3000), () => {
      if (this.#world.members().includes(member)) member.start();
    });
  }

  /** Two members; half of the time the first is one that leads, since that hurts most. */
  #two(): [SimMember, SimMember] {
    const members = this.#world.members();
    const leaders = members.filter(({ isLeader }) => isLeader);
    const one =
      leaders.length > 0 && this.#rand.below(2) === 0
        ? leaders[this.#rand.below(leaders.length)]!
        : members[this.#rand.below(members.length)]!;
    const others = members.filter((member) => member !== one);
    return [one, others[this.#rand.below(others.length)] ?? one];
  }
}
