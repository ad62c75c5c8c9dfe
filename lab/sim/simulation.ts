import { seededRand } from "../../base/rand.ts";
import type { NodeId } from "../../etcd-raft/raft/types.ts";
import { checkAcknowledged } from "../checkers/acknowledged.ts";
import { checkLinearizable } from "../checkers/linearizable.ts";
import { RaftSafety } from "../checkers/raft-safety.ts";
import { Clients } from "./clients.ts";
import { Nemesis } from "./nemesis.ts";
import { SimDisk } from "./sim-disk.ts";
import { decodeCommand, type PlantedFault, SimMember, type Snapshot } from "./sim-member.ts";
import { SimNetwork } from "./sim-network.ts";
import { VirtualClock } from "./virtual-clock.ts";

export interface SimulationOptions {
  seed: number;
  members?: number;
  /** How long, in virtual milliseconds, things break. */
  durationMs?: number;
  /** PreVote and CheckQuorum; without them there are many more elections. */
  preVote?: boolean;
  planted?: PlantedFault;
  /** Only crashes with quick restarts, close together. */
  crashesOnly?: boolean;
  /** Called with each noteworthy event, in order. */
  trace?: (line: string) => void;
}

/** What `npm run sim` varies with the seed. */
export function variety(seed: number): SimulationOptions {
  return { seed, members: seed % 4 === 0 ? 5 : 3, preVote: seed % 3 !== 1, crashesOnly: seed % 7 === 3 };
}

export interface SimulationResult {
  seed: number;
  violations: string[];
  acknowledged: number;
  applied: number;
  elections: number;
  tornTails: number;
  /** Snapshots that took the place of a follower's state. */
  installed: number;
}

/**
 * One run: members, clients and a nemesis in virtual time; everything random comes from the seed. At the end all is mended,
 * and the cluster must take a write and come to rest with equal logs; then the checkers judge.
 */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const { seed, members: count = 3, durationMs = 15_000, preVote = true, planted, crashesOnly = false } = options;
  const rand = seededRand(seed);
  const part = () => seededRand(Number(rand.uint64() & 0xffffffffn));
  const clock = new VirtualClock();
  const note = (line: string) => options.trace?.(`${clock.monotonic().toFixed(1).padStart(9)} ms  ${line}`);
  const safety = new RaftSafety();
  let elections = 0;
  let tornTails = 0;
  let installed = 0;
  /** A snapshot is what the entries up to it make, whoever took it. */
  const checkSnapshot = (who: NodeId, { index, state }: Snapshot) => {
    const expected = new Map<string, string>();
    for (const { data } of safety.applied.slice(0, index)) {
      if (data.length === 0) continue;
      const { key, value } = decodeCommand(data);
      expected.set(key, value);
    }
    if (index > safety.applied.length || JSON.stringify([...expected].sort()) !== JSON.stringify(state.toSorted()))
      safety.violations.push(`snapshots: that of ${who} at ${index} is not what was applied up to there`);
  };

  const voters: NodeId[] = Array.from({ length: count }, (_, i) => BigInt(i + 1));
  const network = new SimNetwork(clock, part(), (message) => members[Number(message.to) - 1]!.receive(message));
  const members = voters.map((id) => {
    const disk = new SimDisk(clock, part());
    disk.lies = planted === "forgetful disk";
    const member: SimMember = new SimMember({
      id,
      voters,
      clock,
      rand: part(),
      disk,
      segmentBytes: 8192,
      clockRate: 0.7 + 0.8 * rand.next(),
      preVote,
      planted,
      send: (message) => {
        network.send(message);
        if (message.type === "VoteResp" || message.type === "AppResp") nemesis.promised(message);
      },
      watch: {
        restarts: (who, repaired, snapshot) => {
          note(
            `${who} has read its log${repaired ? ", a torn tail cut off" : ""}, and a snapshot at ${snapshot?.index ?? 0}`,
          );
          if (repaired) tornTails++;
          safety.restarts(who, snapshot?.index);
          if (snapshot) checkSnapshot(who, snapshot);
        },
        installs: (who, snapshot) => {
          note(`${who} takes over the state at ${snapshot.index}`);
          installed++;
          safety.restarts(who, snapshot.index);
          checkSnapshot(who, snapshot);
        },
        leads: (who, term, log, start) => {
          note(`${who} leads term ${term}`);
          elections++;
          safety.leads(who, term, log, start);
        },
        applies: (who, entry, term) => safety.applies(who, entry, term),
        dies: (who, error) => {
          note(`${who} dies: ${error.message}`);
          if (!error.message.includes("EIO")) safety.violations.push(`${who} died: ${error.message}`);
          clock.after(500, () => member.start());
        },
      },
    });
    return member;
  });
  const clients = new Clients(clock, part(), members);
  const nemesis = new Nemesis(clock, part(), members, network, note, crashesOnly);

  for (const member of members) member.start();
  clients.start(4);
  nemesis.start();
  const failed = () => safety.violations.length > 0;
  const compareLogs = () => {
    safety.logs(members.flatMap((m) => (m.raft === undefined ? [] : [{ member: m.id, log: m.raft.log.entries }])));
  };
  for (let end = 500; end <= durationMs && !failed(); end += 500) {
    await clock.run(end, failed);
    compareLogs();
  }

  nemesis.stop();
  clients.stop();
  note("all is mended");
  if (!failed()) {
    const settledAt = await settle();
    if (!failed() && settledAt === undefined) safety.violations.push("liveness: no common end of the log in time");
  }
  for (const member of members) member.crash();

  const violations = [...safety.violations];
  if (violations.length === 0) {
    const applied = safety.applied
      .filter((entry) => entry.data.length > 0)
      .map((entry) => decodeCommand(entry.data).id);
    violations.push(...checkAcknowledged(clients.acknowledged, applied));
    const verdict = checkLinearizable(clients.history);
    if (verdict.verdict !== "ok")
      violations.push(`linearizability: ${verdict.verdict} of ${verdict.key}: ${verdict.message}`);
  }
  for (const violation of violations) note(violation);
  return {
    seed,
    violations,
    acknowledged: clients.acknowledged.length,
    applied: safety.applied.length,
    elections,
    tornTails,
    installed,
  };

  /** Waits until a last write is applied everywhere, trying again as a client would. */
  async function settle(): Promise<number | undefined> {
    const deadline = clock.monotonic() + 60_000;
    let last = 0;
    const attempt = (n: number) => {
      if (last > 0 || clock.monotonic() >= deadline) return;
      members[n % count]!.write(`last${n}`, "last", `last${n}`, (outcome) => {
        if (outcome.type === "answered") last = safety.applied.length;
      });
      clock.after(1000, () => attempt(n + 1));
    };
    attempt(0);
    const agreed = () =>
      last > 0 && members.every((m) => m.raft !== undefined && m.raft.log.applied === safety.applied.length);
    await clock.run(deadline, () => failed() || agreed());
    compareLogs();
    return agreed() ? last : undefined;
  }
}
