import type { Clock } from "../../base/clock.ts";
import { sleep } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import type { GrpcClient } from "../../net/grpc-client.ts";
import { GrpcError } from "../../net/grpc-error.ts";
import { ClusterService, KVService } from "../../proto/generated/etcdserverpb.ts";
import type { RunningLab } from "./running-lab.ts";

/**
 * A member dies with its disk and another comes in its place, as an operator does it: kill, member remove, wipe, member
 * add, start. Resolves with its name once it answers. `target`: a name or a role.
 */
export async function replaceMember(lab: RunningLab, target: string, clock: Clock): Promise<string> {
  const { supervisor, members } = lab;
  const { targets } = await supervisor.fault({ fault: "kill", target });
  const name = targets[0]!;
  const gone = members.find((member) => member.name === name);
  if (gone === undefined || targets.length > 1)
    throw new StartError(`replace: ${targets.join(", ")} is not one member`);
  const others = members.filter((member) => member !== gone);
  /** Whoever has a leader does it; a change waits until the one before is done with. */
  const ask = async <T>(send: (client: GrpcClient) => Promise<T>): Promise<T> => {
    const deadline = clock.monotonic() + withinMs;
    for (let i = 0; ; i++) {
      try {
        return await send(others[i % others.length]!.client);
      } catch (error) {
        if (!(error instanceof GrpcError) || clock.monotonic() > deadline) throw error;
        await sleep(clock, 50);
      }
    }
  };
  const list = () => ask((client) => client.unary(ClusterService.MemberList, {}, { timeoutMs: 1000 }));
  const peerURLs = (await list()).members.find((member) => member.name === name)!.peerURLs;
  await ask(async (client) => {
    const old = (await list()).members.find((member) => member.name === name);
    if (old) await client.unary(ClusterService.MemberRemove, { ID: old.ID }, { timeoutMs: 2000 });
  });
  await supervisor.fault({ fault: "wipe", target: name });
  await ask(async (client) => {
    const there = (await list()).members.some((member) => member.peerURLs.some((url) => peerURLs.includes(url)));
    if (!there) await client.unary(ClusterService.MemberAdd, { peerURLs }, { timeoutMs: 2000 });
  });
  await supervisor.start(name);
  const deadline = clock.monotonic() + withinMs;
  const answers = () => gone.client.unary(KVService.Range, { key: Buffer.from("health") }, { timeoutMs: 500 });
  while (!(await answers().catch(() => undefined))) {
    if (clock.monotonic() > deadline)
      throw new StartError(`replace: ${name} does not come within ${withinMs / 1000} s`);
    await sleep(clock, 50);
  }
  return name;
}

const withinMs = 30_000;
