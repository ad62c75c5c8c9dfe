import type { Rand } from "../../base/rand.ts";

/** Steps of an experiment's schedule, `at` in milliseconds from the beginning of the round. */
type Deed = (rand: Rand) => { at?: number; for?: number; [field: string]: unknown }[];

/** Long enough for an election or two at 500 ms, and short enough that all is well before the next round begins. */
const lasting = (rand: Rand, least = 700, most = 1900) => least + rand.below(most - least);

const signal =
  (fault: "kill" | "stop" | "pause", target: string): Deed =>
  (rand) => [{ fault, target, for: lasting(rand, 300, 1500) }];
const suffer =
  (fault: string, target: string, more: (rand: Rand) => object = () => ({})): Deed =>
  (rand) => [{ fault, target, ...more(rand), for: lasting(rand) }];
const slow = (most: number) => (rand: Rand) => ({ ms: 20 + rand.below(most) });
const one = (step: Record<string, unknown>) => () => [step];

const flapping = { peer: "follower", onMs: 300, offMs: 200 };

/** What is done in a round. */
export const deeds = {
  "kill -9 of a member": signal("kill", "random"),
  "kill -9 of the leader": signal("kill", "leader"),
  "kill -9 of all": signal("kill", "members"),
  "kill -9 of a majority": signal("kill", "majority"),
  "restart by SIGTERM": signal("stop", "random"),
  "restart of the leader by SIGTERM": signal("stop", "leader"),
  "SIGSTOP of a member": signal("pause", "random"),
  "SIGSTOP of the leader": signal("pause", "leader"),
  "member cut off": suffer("isolate", "random"),
  "leader cut off": suffer("isolate", "leader"),
  "leader hears nobody": suffer("isolate", "leader", () => ({ direction: "in" })),
  "leader is not heard": suffer("isolate", "leader", () => ({ direction: "out" })),
  "member is not heard": suffer("isolate", "random", () => ({ direction: "out" })),
  "leader and one follower cut": suffer("partition", "leader", () => ({ peer: "follower" })),
  "connection of two members that comes and goes": suffer("flap", "leader", () => flapping),
  "slow network of a member": suffer("delay", "random", (rand) => ({ peer: "members", ...slow(200)(rand) })),
  "slow disk of a member": suffer("slow-disk", "random", slow(400)),
  "slow disk of the leader": suffer("slow-disk", "leader", slow(400)),
  "full disk of a member": (rand) => [...suffer("fill-disk", "random")(rand), { at: 2200, maintain: "disarm" }],
  "failing disk of the leader": suffer("fail-fsync", "leader"),
  "clock of a member that jumps": suffer("jump", "random", (rand) => ({ ms: rand.below(7_200_000) - 3_600_000 })),
  "leadership moved": () => [0, 700, 1400].map((at) => ({ at, maintain: "move-leader" })),
  "member replaced": one({ replace: "follower" }),
  "member replaced by way of a learner": one({ replace: "follower", as: "learner" }),
  "backup and defragmentation": () => [{ maintain: "backup" }, { at: 500, maintain: "defragment" }],
  "leader killed while a member is cut off": (rand) => [
    { fault: "isolate", target: "follower", for: 1200 },
    { at: 300 + rand.below(500), fault: "kill", target: "leader", for: 1500 },
  ],
} satisfies Record<string, Deed>;

export type DeedName = keyof typeof deeds;
export const deedNames = Object.keys(deeds) as DeedName[];

/** Every deed comes up about as often as every other. */
export function shuffledDeeds(rounds: number, rand: Rand, names: readonly DeedName[] = deedNames): DeedName[] {
  const order: DeedName[] = [];
  while (order.length < rounds) {
    const left = [...names];
    while (left.length > 0) order.push(...left.splice(rand.below(left.length), 1));
  }
  return order.slice(0, rounds);
}

export const roundMs = 3500;

/**
 * One experiment for several rounds, as YAML has it: one deed a round, all well in between, snapshots often and logs short,
 * so that followers that were away are sent the state.
 */
export function experimentOf(
  rounds: readonly DeedName[],
  { members, clients }: { members: number; clients: number },
  rand: Rand,
): object {
  const schedule = rounds.flatMap((name, i) =>
    (deeds[name] as Deed)(rand).map(({ at = 0, for: forMs, ...step }) => ({
      at: `${500 + i * roundMs + at}ms`,
      ...step,
      ...(forMs !== undefined && { for: `${forMs}ms` }),
    })),
  );
  return {
    description: `${rounds.length} rounds: ${[...new Set(rounds)].join(", ")}`,
    cluster: { members, nodes: 0, mode: "host", snapshotCount: 100 },
    workload: { store: { mixed: clients, watchers: 4 } },
    schedule,
    duration: `${rounds.length * roundMs + 1000}ms`,
    expect: { lostWrites: 0 },
  };
}
