import type { Clock } from "../../base/clock.ts";
import { sleep } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { ClusterService, KVService, MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import { disarm, type StoreMember } from "../clients/members.ts";
import type { RunningLab } from "./running-lab.ts";
import type { Step } from "./schema.ts";

/**
 * A member dies with its disk and another comes in its place, as an operator does it: kill, member remove, wipe, member
 * add, start; as a learner it is promoted once it has caught up. Resolves with its name once it answers.
 */
export async function replaceMember(
  lab: RunningLab,
  { replace: target, as = "voter" }: Step & { kind: "replace" },
  clock: Clock,
): Promise<string> {
  const { supervisor, members } = lab;
  const { id, targets } = await supervisor.fault({ fault: "kill", target });
  const name = targets[0]!;
  const gone = members.find((member) => member.name === name);
  if (gone === undefined || targets.length > 1)
    throw new StartError(`replace: ${targets.join(", ")} is not one member`);
  const others = members.filter((member) => member !== gone);
  const ask = <T>(send: (member: StoreMember) => Promise<T>) => insist(others, clock, send);
  const list = () =>
    ask(({ client }) => client.unary(ClusterService.MemberList, { linearizable: true }, { timeoutMs: 1000 }));
  const known = async () =>
    (await list()).members.find(({ peerURLs: urls }) => urls.some((url) => peerURLs.includes(url)));
  const peerURLs = (await list()).members.find((member) => member.name === name)!.peerURLs;
  await ask(async ({ client }) => {
    const old = (await list()).members.find((member) => member.name === name);
    if (old) await client.unary(ClusterService.MemberRemove, { ID: old.ID }, { timeoutMs: 2000 });
  });
  await supervisor.fault({ fault: "wipe", target: name });
  const isLearner = as === "learner";
  await ask(async ({ client }) => {
    if (!(await known())) await client.unary(ClusterService.MemberAdd, { peerURLs, isLearner }, { timeoutMs: 2000 });
  });
  await supervisor.heal(id);
  if (isLearner)
    await ask(async ({ client }) => {
      const now = (await known())!;
      if (now.isLearner) await client.unary(ClusterService.MemberPromote, { ID: now.ID }, { timeoutMs: 2000 });
    });
  await insist([gone], clock, ({ client }) =>
    client.unary(KVService.Range, { key: Buffer.from("health") }, { timeoutMs: 500 }),
  );
  return name;
}

/** What is done to members that are well, to the leader. Resolves with its name. */
export function maintain(
  { members }: RunningLab,
  { maintain: what }: Step & { kind: "maintain" },
  clock: Clock,
): Promise<string> {
  const options = { timeoutMs: 5000 };
  return insist(members, clock, async (member) => {
    const { name, client } = member;
    const { leader, header } = await client.unary(MaintenanceService.Status, {}, options);
    if (leader !== header!.memberId) throw new GrpcError(Code.FailedPrecondition, `${name} does not lead`);
    if (what === "defragment") await client.unary(MaintenanceService.Defragment, {}, options);
    if (what === "backup") for await (const _ of client.serverStream(MaintenanceService.Snapshot, {}, options));
    if (what === "disarm") await disarm(member);
    if (what === "move-leader") {
      const all = (await client.unary(ClusterService.MemberList, {}, options)).members;
      const targetID = all.find(({ ID }) => ID !== leader)!.ID;
      await client.unary(MaintenanceService.MoveLeader, { targetID }, options);
    }
    return name;
  });
}

/** One after the other until one does it: whoever has a leader; a change waits until the one before is done with. */
async function insist<T>(
  members: readonly StoreMember[],
  clock: Clock,
  send: (member: StoreMember) => Promise<T>,
): Promise<T> {
  const deadline = clock.monotonic() + withinMs;
  for (let i = 0; ; i++) {
    try {
      return await send(members[i % members.length]!);
    } catch (error) {
      if (!(error instanceof GrpcError) || clock.monotonic() > deadline) throw error;
      await sleep(clock, 50);
    }
  }
}

const withinMs = 30_000;
