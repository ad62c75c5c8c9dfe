import { describe, expect, test } from "vitest";
import { seededRand } from "../../base/rand.ts";
import { type Facts, planFault } from "./plan.ts";
import { targetsOf } from "./targets.ts";
import { type FaultRequest, faultProblems } from "./types.ts";

const processes = [
  "etcd-1",
  "etcd-2",
  "etcd-3",
  "apiserver-1",
  "scheduler",
  "node-1/runtime",
  "node-1/agent",
  "node-2/agent",
];
const facts: Facts = {
  mode: "netns",
  relayed: false,
  processes,
  members: ["etcd-1", "etcd-2", "etcd-3"],
  nodes: ["node-1", "node-2"],
  leader: "etcd-2",
  running: () => true,
  placeOf: (process) => process.replace(/\/.*/, ""),
  addressOf: (place) => `ip-of-${place}`,
  podCidrOf: (node) => `pods-of-${node}`,
  noNftables: "nft is not installed",
  freeMegabytes: 4000,
};
const plan = (request: object, change: Partial<Facts> = {}, seed = 1) =>
  planFault(request as FaultRequest, { ...facts, ...change }, seededRand(seed));

describe("whom a text means", () => {
  const cases: [string, string, string[]][] = [
    ["a process by its name", "node-1/agent", ["node-1/agent"]],
    ["a node by its name", "node-2", ["node-2"]],
    ["the leader of now", "leader", ["etcd-2"]],
    ["all followers", "followers", ["etcd-1", "etcd-3"]],
    ["all members", "members", ["etcd-1", "etcd-2", "etcd-3"]],
    ["the only one of a program", "apiserver", ["apiserver-1"]],
    ["all of a program", "agents", ["node-1/agent", "node-2/agent"]],
    ["several, each once", "etcd-1, leader,members", ["etcd-1", "etcd-2", "etcd-3"]],
  ];
  test.each(cases)("%s", (_, text, wanted) => {
    expect(targetsOf(text, { ...facts, rand: seededRand(1) }).map(({ name }) => name)).toEqual(wanted);
  });

  test("what is drawn is in its set, is the same for the same seed, and differs over seeds", () => {
    const sets = {
      follower: ["etcd-1", "etcd-3"],
      random: facts.members,
      node: facts.nodes,
      agent: ["node-1/agent", "node-2/agent"],
    };
    for (const [word, set] of Object.entries(sets)) {
      const draws = Array.from({ length: 40 }, (_, seed) => {
        const draw = () => targetsOf(word, { ...facts, rand: seededRand(seed) }).map(({ name }) => name);
        expect(draw()).toEqual(draw());
        return draw()[0]!;
      });
      expect([...new Set(draws)].sort()).toEqual([...set]);
    }
  });

  test.each([
    ["minority", 1],
    ["majority", 2],
  ] as const)("a %s of three is %i", (word, count) => {
    expect(targetsOf(word, { ...facts, rand: seededRand(3) })).toHaveLength(count);
  });

  test("nobody of that name, and nobody leads", () => {
    expect(() => targetsOf("etcd-9", { ...facts, rand: seededRand(1) })).toThrow(
      "no process is named etcd-9; there are: leader, etcd-1",
    );
    expect(() => targetsOf("leader", { ...facts, leader: undefined, rand: seededRand(1) })).toThrow(
      "no member leads at the moment",
    );
  });
});

describe("by which means", () => {
  const cases: [string, object, Partial<Facts>, string, number][] = [
    ["a kill of two processes: two signals", { fault: "kill", target: "members" }, {}, "signal", 3],
    ["a kill of a node: its plug", { fault: "kill", target: "node-1" }, {}, "signal", 1],
    [
      "a partition of members in namespaces: both ways",
      { fault: "partition", target: "etcd-1", peer: "etcd-2" },
      {},
      "namespaces",
      2,
    ],
    ["one way", { fault: "partition", target: "etcd-1", peer: "etcd-2", direction: "in" }, {}, "namespaces", 1],
    [
      "a node's Pods belong to it",
      { fault: "partition", target: "etcd-1", peer: "node-1", direction: "out" },
      {},
      "namespaces",
      2,
    ],
    [
      "an isolated member: four others and two nodes with Pods",
      { fault: "isolate", target: "etcd-1" },
      {},
      "namespaces",
      2 * 6 + 2,
    ],
    [
      "one process of a node: not its network",
      { fault: "partition", target: "node-1/agent", peer: "apiserver-1" },
      {},
      "socket hooks",
      4,
    ],
    [
      "in mode host: hooks",
      { fault: "partition", target: "etcd-1", peer: "etcd-2" },
      { mode: "host" },
      "socket hooks",
      2,
    ],
    [
      "a delay: hooks, also in namespaces",
      { fault: "delay", target: "etcd-1", peer: "etcd-2", ms: 5 },
      {},
      "socket hooks",
      2,
    ],
    [
      "a delay of a node: where its agent calls the apiserver, and is called by it",
      { fault: "delay", target: "node-2", ms: 5 },
      {},
      "socket hooks",
      4,
    ],
    [
      "dropped packets: nftables",
      { fault: "drop", target: "etcd-1", peer: "etcd-2", percent: 5 },
      { noNftables: undefined },
      "nftables",
      2,
    ],
    [
      "behind relays: whichever side dialled",
      { fault: "partition", target: "etcd-1", peer: "etcd-2", direction: "out" },
      { mode: "host", relayed: true },
      "relay",
      2,
    ],
    ["a slow disk: the member itself", { fault: "slow-disk", target: "leader", ms: 5 }, {}, "fault socket", 1],
    ["a wiped disk: files", { fault: "wipe", target: "leader" }, { running: () => false }, "files", 1],
    ["pressure: children", { fault: "memory-pressure", target: "node-1", megabytes: 3000 }, {}, "children", 1],
  ];
  test.each(cases)("%s", (_, request, change, mechanism, deeds) => {
    const planned = plan(request, change);
    expect([planned.mechanism, planned.deeds.length]).toEqual([mechanism, deeds]);
  });

  test("Pods have no hooks, and the report says so", () => {
    const delay = (peer: string, mode: Facts["mode"] = "netns") =>
      plan({ fault: "delay", target: "apiserver", peer, ms: 5 }, { mode }).message;
    expect(delay("node-1")).toMatch(
      /: apiserver-1 <-> node-1; of what Pods ask for themselves only what passes their node's proxy$/,
    );
    expect(delay("node-1", "host")).toMatch(/; of what Pods ask for themselves nothing$/);
    expect(delay("etcd-1")).toMatch(/: apiserver-1 <-> etcd-1$/);
  });

  const links: [string, string, string, string[]][] = [
    ["an apiserver calls members", "apiserver", "etcd-1", ["apiserver-1 out ip-of-etcd-1"]],
    ["who leads calls apiservers", "scheduler", "apiserver-1", ["scheduler out ip-of-apiserver-1"]],
    ["so does a balancer", "apiserver-1", "balancer", ["balancer in ip-of-apiserver-1"]],
    [
      "an agent and an apiserver call each other",
      "node-1/agent",
      "apiserver",
      ["node-1/agent out ip-of-apiserver-1", "apiserver-1 in ip-of-node-1"],
    ],
    [
      "a node is its Pods, too, which apiservers and proxies call",
      "apiserver",
      "node-1",
      [
        "apiserver-1 out pods-of-node-1",
        "apiserver-1 out ip-of-node-1",
        "node-1/agent in ip-of-apiserver-1",
        "node-1/proxy in ip-of-apiserver-1",
      ],
    ],
    [
      "of two nodes the proxy of one calls the Pods of the other",
      "node-2",
      "node-1",
      ["node-1/proxy in pods-of-node-2"],
    ],
  ];
  test.each(links)("who calls takes the fault, by the address of the other: %s", (_, target, peer, wanted) => {
    const more = [...processes, "balancer", "node-1/proxy", "node-2/runtime"];
    const { deeds } = plan({ fault: "stall", target, peer, direction: "out" }, { mode: "host", processes: more });
    const told = deeds.map((deed) => {
      if (deed.type !== "Hook" || deed.fault.type !== "stall") throw new Error("not a hook");
      return `${deed.process} ${deed.fault.direction} ${deed.fault.peer}`;
    });
    expect(told).toEqual(wanted);
  });

  test("the byte to corrupt follows from the seed", () => {
    const deeds = (seed: number) => plan({ fault: "corrupt", target: "etcd-1" }, { running: () => false }, seed).deeds;
    expect(deeds(5)).toEqual(deeds(5));
    expect(deeds(5)).not.toEqual(deeds(6));
  });
});

describe("refused", () => {
  const cases: [string, object, Partial<Facts>, string][] = [
    ["packets without nft", { fault: "drop", target: "etcd-1", percent: 5 }, {}, "nft is not installed"],
    ["packets in mode host", { fault: "drop", target: "etcd-1", percent: 5 }, { mode: "host" }, "mode host has none"],
    [
      "the disk of what has none",
      { fault: "slow-disk", target: "scheduler", ms: 5 },
      {},
      "scheduler is not a member of the store",
    ],
    ["the data of one that runs", { fault: "wipe", target: "etcd-1" }, {}, "etcd-1 runs: `kubelab kill etcd-1` first"],
    [
      "pressure on what is no node",
      { fault: "cpu-pressure", target: "etcd-1", processes: 1 },
      {},
      "etcd-1 is not a node",
    ],
    [
      "more memory than there is",
      { fault: "memory-pressure", target: "nodes", megabytes: 2000 },
      {},
      "4000 MB is more than three quarters",
    ],
    [
      "a link between two that do not talk",
      { fault: "delay", target: "node-1", peer: "etcd-1", ms: 5 },
      {},
      "nothing with a socket hook connects node-1, etcd-1",
    ],
    [
      "a partition from oneself",
      { fault: "partition", target: "etcd-1", peer: "etcd-1" },
      {},
      "etcd-1 has no other side in etcd-1",
    ],
  ];
  test.each(cases)("%s", (_, request, change, why) => {
    expect(() => plan(request, change)).toThrow(why);
  });
});

describe("a request that is none", () => {
  const cases: [object, string[]][] = [
    [{ fault: "kill", target: "leader", seed: 3 }, []],
    [
      { fault: "murder", target: "leader" },
      [expect.stringMatching(/^fault must be one of kill, stop, .*, not "murder"$/) as never],
    ],
    [{ fault: "kill" }, ["target is required: a name or a role such as leader"]],
    [{ fault: "delay", target: "etcd-1" }, ["ms is required: a number from 1 to 3600000"]],
    [
      { fault: "delay", target: "etcd-1", ms: "5", direction: "up", speed: 1 },
      [
        "speed is not known for delay; allowed: target, seed, peer, direction, ms, jitterMs",
        'direction must be in or out or both, not "up"',
        'ms must be a number from 1 to 3600000, not "5"',
      ],
    ],
  ];
  test.each(cases)("%o", (request, problems) => {
    expect(faultProblems(request as Record<string, unknown>)).toEqual(problems);
  });
});
