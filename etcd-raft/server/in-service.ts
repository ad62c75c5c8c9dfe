import { sleep } from "../../base/clock.ts";
import { idText } from "./cluster.ts";
import type { Member } from "./member.ts";

/** Tells the cluster the member's name and client URLs; resolves when that is committed: it is in service. */
export async function publish(member: Member): Promise<void> {
  const { name, advertiseClientURLs: clientURLs, clock, log } = member.config;
  // In the form that every etcd knows: a 3.4 that goes on with this log ends at the newer ClusterMemberAttrSet.
  const path = `/0/members/${idText(member.id)}/attributes`;
  const v2 = { method: "PUT", path, val: JSON.stringify({ name, clientURLs }) };
  while (!member.closed) {
    try {
      await member.write({ v2 });
      log.info({ name, clientURLs }, "ready to serve client requests");
      return;
    } catch (error) {
      log.warn({ reason: (error as Error).message }, "Could not publish this member yet");
      await sleep(clock, republishMs);
    }
  }
}

/** Before a leader goes: to the follower that has most of the log; gives up after two election timeouts. */
export async function handOver(member: Member): Promise<void> {
  const { id, runner, transport, config } = member;
  if (!member.isLeader) return;
  const { progress, conf } = runner.raft;
  const [best] = [...progress.values()]
    .filter((other) => other.id !== id && conf.voters.includes(other.id) && transport.connectedSince(other.id))
    .sort((a, b) => b.matchIndex - a.matchIndex);
  if (best === undefined) return;
  config.log.info({ to: idText(best.id) }, "Handing over the lead");
  await member.transferTo(best.id).catch(() => {});
}

/**
 * A fresh member need not wait a whole election timeout for a leader that cannot be there yet (etcd:
 * `--initial-election-tick-advance`): once it can talk to somebody, only the random part is left.
 */
export function hasten({ runner, config: { electionMs, heartbeatMs } }: Member): void {
  for (let tick = 2; tick < Math.round(electionMs / heartbeatMs); tick++) runner.input({ type: "Tick" });
}

const republishMs = 100;
