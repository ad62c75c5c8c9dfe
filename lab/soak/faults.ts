import { type Clock, sleep } from "../../base/clock.ts";
import type { Fault } from "../../base/faults.ts";
import type { Rand } from "../../base/rand.ts";
import { ClusterService, MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import type { SoakCluster, SoakMember } from "./cluster.ts";

/** What is done to the cluster in one round. `SoakCluster.heal` undoes it. */
export interface Nemesis {
  cluster: SoakCluster;
  rand: Rand;
  clock: Clock;
}

type Deed = (nemesis: Nemesis) => Promise<void>;

const pick = <T>(rand: Rand, list: readonly T[]): T => list[rand.below(list.length)]!;
const anyone = ({ cluster, rand }: Nemesis): SoakMember => pick(rand, cluster.members);
const leader = async (nemesis: Nemesis): Promise<SoakMember> => (await nemesis.cluster.leader()) ?? anyone(nemesis);

const another = ({ cluster, rand }: Nemesis, than: SoakMember): SoakMember =>
  pick(
    rand,
    cluster.members.filter((member) => member !== than),
  );

/** Long enough for an election or two at 500 ms, short enough for many rounds. */
const lasting = ({ clock, rand }: Nemesis, least = 800, most = 2200) => sleep(clock, least + rand.below(most - least));

const kill =
  (who: (nemesis: Nemesis) => Promise<SoakMember[]>, signal: "SIGKILL" | "SIGTERM" = "SIGKILL"): Deed =>
  async (nemesis) => {
    await Promise.all((await who(nemesis)).map((member) => member.end(signal)));
    await lasting(nemesis, 300, 1500);
  };

const pause =
  (who: (nemesis: Nemesis) => SoakMember | Promise<SoakMember>): Deed =>
  async (nemesis) => {
    (await who(nemesis)).signal("SIGSTOP");
    await lasting(nemesis, 600, 2500);
  };

const suffer =
  (who: (nemesis: Nemesis) => SoakMember | Promise<SoakMember>, fault: (nemesis: Nemesis) => Fault): Deed =>
  async (nemesis) => {
    await (await who(nemesis)).fault("soak", fault(nemesis));
    await lasting(nemesis);
  };

/** It dies with its disk: removed, and added again as a new one that has nothing. */
const replace =
  (asLearner: boolean): Deed =>
  async (nemesis) => {
    const leading = await leader(nemesis);
    const { client } = leading;
    const dead = another(nemesis, leading);
    const { header } = (await dead.status(5000)) ?? {};
    await dead.end("SIGKILL");
    await lasting(nemesis, 100, 500);
    await insist(nemesis, () => client.unary(ClusterService.MemberRemove, { ID: header?.memberId ?? 0n }, change));
    const added = await insist(nemesis, () =>
      client.unary(ClusterService.MemberAdd, { peerURLs: [dead.peerURL], isLearner: asLearner }, change),
    );
    dead.beginAnew();
    dead.start();
    await lasting(nemesis, 300, 1000);
    if (!asLearner) return;
    await insist(nemesis, () => client.unary(ClusterService.MemberPromote, { ID: added.member!.ID }, change));
  };

const change = { timeoutMs: 5000 };

/** Changes of members are refused while connections are young or a learner is behind (etcd's rules). */
async function insist<T>({ clock }: Nemesis, ask: () => Promise<T>): Promise<T> {
  for (const end = clock.monotonic() + 20_000; ; ) {
    try {
      return await ask();
    } catch (error) {
      if (clock.monotonic() > end) throw error;
      await sleep(clock, 200);
    }
  }
}

const cut = (direction: "in" | "out" | "both") => (): Fault => ({ type: "block", peer: "*", direction });

export const deeds = {
  "kill -9 of a member": kill(async (nemesis) => [anyone(nemesis)]),
  "kill -9 of the leader": kill(async (nemesis) => [await leader(nemesis)]),
  "kill -9 of all": kill(async ({ cluster }) => cluster.members),
  "kill -9 of a majority": kill(async ({ cluster }) => cluster.members.slice(0, (cluster.members.length >> 1) + 1)),
  "restart by SIGTERM": kill(async (nemesis) => [anyone(nemesis)], "SIGTERM"),
  "restart of the leader by SIGTERM": kill(async (nemesis) => [await leader(nemesis)], "SIGTERM"),
  "SIGSTOP of a member": pause(anyone),
  "SIGSTOP of the leader": pause(leader),
  "member cut off": suffer(anyone, cut("both")),
  "leader cut off": suffer(leader, cut("both")),
  "leader hears nobody": suffer(leader, cut("in")),
  "leader is not heard": suffer(leader, cut("out")),
  "member is not heard": suffer(anyone, cut("out")),
  "leader and one follower cut": async (nemesis) => {
    const one = await leader(nemesis);
    await one.fault("soak", { type: "block", peer: another(nemesis, one).name, direction: "both" });
    await lasting(nemesis);
  },
  "slow network of a member": suffer(anyone, ({ rand }) => ({
    type: "delay",
    peer: "*",
    direction: "both",
    ms: 10 + rand.below(200),
  })),
  "slow disk of a member": suffer(anyone, ({ rand }) => ({ type: "slow-sync", ms: 20 + rand.below(400) })),
  "slow disk of the leader": suffer(leader, ({ rand }) => ({ type: "slow-sync", ms: 20 + rand.below(400) })),
  "full disk of a member": suffer(anyone, () => ({ type: "full-disk" })),
  "failing disk of the leader": suffer(leader, () => ({ type: "fail-sync" })),
  "leadership moved": async (nemesis) => {
    for (let i = 0; i < 3; i++) {
      const from = await leader(nemesis);
      const to = await another(nemesis, from).status();
      const targetID = to?.header?.memberId ?? 0n;
      await from.client.unary(MaintenanceService.MoveLeader, { targetID }, { timeoutMs: 2000 }).catch(() => {});
      await lasting(nemesis, 100, 500);
    }
  },
  "member replaced": replace(false),
  "member replaced by way of a learner": replace(true),
  "backup and defragmentation": async (nemesis) => {
    const { client } = anyone(nemesis);
    await client.unary(MaintenanceService.Defragment, {}, { timeoutMs: 5000 });
    for await (const _part of client.serverStream(MaintenanceService.Snapshot, {}, { timeoutMs: 10_000 }));
  },
  "leader killed while a member is cut off": async (nemesis) => {
    const one = await leader(nemesis);
    const other = another(nemesis, one);
    await other.fault("soak", { type: "block", peer: "*", direction: "both" });
    await lasting(nemesis, 300, 800);
    await one.end("SIGKILL");
    await lasting(nemesis, 300, 800);
    await other.clearFaults();
    await lasting(nemesis, 500, 1000);
  },
} satisfies Record<string, Deed>;

export type DeedName = keyof typeof deeds;
