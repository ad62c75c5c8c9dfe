import type { Rand } from "../../base/rand.ts";
import type { NodeId } from "../../etcd-raft/raft/types.ts";
import type { ClusterMember, InitialCluster } from "../../etcd-raft/server/cluster.ts";
import { initialCluster, newMemberId } from "../../etcd-raft/server/cluster.ts";
import type { Member } from "../../etcd-raft/server/member.ts";
import { confChange } from "../../etcd-raft/server/membership.ts";
import { noContext } from "./services.ts";
import type { SimMember } from "./sim-member.ts";
import type { World } from "./world.ts";

type MakeMember = (cluster: InitialCluster, joins: () => InitialCluster | undefined) => SimMember;

/** Whose processes run, and the operator who changes that: adds, promotes and removes. */
export class SimCluster {
  members: SimMember[];
  changes = 0;
  readonly #world: World;
  readonly #rand: Rand;
  readonly #make: MakeMember;
  readonly #clusterId: bigint;
  readonly #stopping = new Set<NodeId>();
  /** An id has one life: whoever still takes a removed member for one must not have it begin anew, without its memory. */
  readonly #ever: Set<NodeId>;
  #made: number;

  constructor(count: number, world: World, rand: Rand, make: MakeMember) {
    this.#world = world;
    this.#rand = rand;
    this.#make = make;
    this.#made = count;
    const names = Array.from({ length: count }, (_, i) => `m${i}`);
    const everybody = names.map((name) => `${name}=${peerURL(name)}`).join(",");
    const clusters = names.map((name) =>
      initialCluster({ name, initialCluster: everybody, token: "simulation", advertisePeerURLs: [peerURL(name)] }),
    );
    this.#clusterId = clusters[0]!.clusterId;
    this.members = clusters.map((cluster) => make(cluster, () => undefined));
    this.#ever = new Set(this.members.map(({ id }) => id));
  }

  /** Starts who was added, and stops, some time later, who was removed: as far as any member has applied it. */
  reconcile(): void {
    const membership = this.#membership();
    if (membership === undefined) return;
    for (const { id } of membership.members.values()) {
      if (this.#ever.has(id)) continue;
      this.#ever.add(id);
      const joins = (): InitialCluster => {
        const members = [...(this.#membership() ?? membership).members.values()];
        return { clusterId: this.#clusterId, members, self: members.find((one) => one.id === id) ?? nobody(id) };
      };
      const member = this.#make(joins(), joins);
      this.#world.note(`${member.name} is started`);
      this.members = [...this.members, member];
      member.start();
    }
    for (const { id } of this.members) {
      if (!membership.removed.has(id) || this.#stopping.has(id)) continue;
      this.#stopping.add(id);
      this.#world.clock.after(this.#rand.below(2000), () => this.stop(id));
    }
  }

  /** Takes back the alarms of disks that have room again. */
  disarm(): void {
    const leader = this.members.find(({ isLeader }) => isLeader);
    for (const { memberID, alarm } of leader?.member?.applier.alarms.list() ?? []) {
      if (this.members.find(({ id }) => id === memberID)?.disk.full) continue;
      leader!.life!.run(() => leader!.member!.write({ alarm: { action: 2, memberID, alarm } })).catch(() => {});
    }
  }

  /** For good. */
  stop(id: NodeId): void {
    const member = this.members.find((one) => one.id === id);
    if (member === undefined) return;
    this.#world.note(`${member.name} is stopped for good`);
    this.members = this.members.filter((one) => one !== member);
    member.crash();
  }

  /** Asks some member for one change; whether it comes about is seen later. */
  change(): void {
    const rand = this.#rand;
    const asked = this.members.filter(({ services }) => services);
    const who = asked[rand.below(asked.length)];
    const membership = this.#membership();
    if (!who?.life || !who.services || !membership) return;
    const { cluster } = who.services;
    const { voters, learners } = membership.conf;
    const run = (what: string, fn: () => unknown) => {
      this.changes++;
      this.#world.note(`${who.name} is asked to ${what}`);
      who.life!.run(fn).catch(() => {});
    };
    const add = (isLearner: boolean) => {
      const peerURLs = [peerURL(`m${this.#made++}`)];
      const what = `add ${peerURLs} as ${isLearner ? "learner" : "voter"}`;
      run(what, () => cluster.MemberAdd({ peerURLs, isLearner }, noContext));
    };
    const remove = (ID: NodeId) => run(`remove ${ID.toString(16)}`, () => cluster.MemberRemove({ ID }, noContext));
    const learner = learners[0];
    if (rand.below(3) === 0) {
      const added = Array.from({ length: 1 + rand.below(3) }, () => {
        const peerURLs = [peerURL(`m${this.#made++}`)];
        const id = newMemberId(peerURLs, this.#world.clock.now());
        return { id, name: "", peerURLs, clientURLs: [], isLearner: false };
      });
      const first = rand.below(voters.length);
      const gone = voters.filter((_, i) => (i + first) % voters.length < voters.length + added.length - 3);
      const changes = [...added.map(confChange.add), ...gone.map(confChange.remove)];
      const names = (ids: NodeId[]) => ids.map((id) => id.toString(16)).join(", ");
      run(`replace ${names(gone)} by ${names(added.map(({ id }) => id))}`, () => who.member!.reconfigure(changes));
    } else if (learner !== undefined && rand.below(3) > 0) {
      if (rand.below(5) === 0) remove(learner);
      else run(`promote ${learner.toString(16)}`, () => cluster.MemberPromote({ ID: learner }, noContext));
    } else if (voters.length < 3 || (voters.length < 5 && rand.below(2) === 0)) {
      add(learner === undefined && rand.below(2) === 0);
    } else {
      remove(voters[rand.below(voters.length)]!);
    }
  }

  /** As the member knows it that has applied the most, of those who stay: whoever leaves may be needed until they know. */
  #membership() {
    const stays = (member: Member) => !member.applier.membership.removed.has(member.id);
    const known = this.members.flatMap(({ member }) => (member && stays(member) ? [member] : []));
    if (known.length === 0) return undefined;
    return known.reduce((a, b) => (b.appliedIndex > a.appliedIndex ? b : a)).applier.membership;
  }
}

const peerURL = (name: string): string => `http://${name}:2380`;
const nobody = (id: NodeId): ClusterMember => ({ id, name: "", peerURLs: [], clientURLs: [], isLearner: false });
