import { type Clock, sleep } from "../../base/clock.ts";
import type { GrpcClient } from "../../net/grpc-client.ts";
import { KVService, LeaseService, MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import { bytesOf, ofResponse } from "../checkers/etcd-messages.ts";
import type { Base, KeyValue, MemberHash } from "../checkers/history.ts";

/** A member as its clients and judges see it. */
export interface StoreMember {
  readonly name: string;
  readonly client: GrpcClient;
  /** Its data directory, where its log is read. */
  readonly dir: string;
}

/** Who is not there is not asked: that would be an operation of which nothing is known. */
export const isThere = ({ client }: StoreMember, withinMs: number): Promise<boolean> =>
  client.ready(withinMs).then(
    () => true,
    () => false,
  );

/** Keys of the clients here (`Workload`). Kubernetes has all of its own below "/". */
export const isOwnKey = (key: string): boolean => key >= "r";

/** Resolves when every member answers a linearizable read and no alarm is left; says what is missing if that takes too long. */
export async function whenHealthy(
  members: readonly StoreMember[],
  clock: Clock,
  timeoutMs: number,
): Promise<string | undefined> {
  const deadline = clock.monotonic() + timeoutMs;
  for (;;) {
    const missing = (await Promise.all(members.map(problemOf))).filter((text) => text !== undefined);
    if (missing.length === 0) break;
    if (clock.monotonic() > deadline) return missing.join("; ");
    await sleep(clock, 50);
  }
  if (members[0]) await disarm(members[0]);
  return undefined;
}

/** Takes back every alarm. */
export async function disarm({ client }: StoreMember): Promise<void> {
  const options = { timeoutMs: 10_000 };
  const { alarms } = await client.unary(MaintenanceService.Alarm, {}, options);
  for (const raised of alarms) await client.unary(MaintenanceService.Alarm, { ...raised, action: 2 }, options);
}

const problemOf = ({ name, client }: StoreMember): Promise<string | undefined> =>
  client.unary(KVService.Range, { key: bytesOf("health") }, { timeoutMs: 1000 }).then(
    () => undefined,
    (error: Error) => `${name}: ${error.message}`,
  );

/** The state of all at one revision, which all must have come to. */
export async function memberHashes(members: readonly StoreMember[], timeoutMs: number): Promise<MemberHash[]> {
  const key = bytesOf("x");
  const { header } = await members[0]!.client.unary(KVService.Range, { key }, { timeoutMs });
  const { revision } = header!;
  return Promise.all(
    members.map(async ({ name, client }) => {
      await client.unary(KVService.Range, { key }, { timeoutMs }); // linearizable: it has come that far
      const answer = await client.unary(MaintenanceService.HashKV, { revision }, { timeoutMs });
      const point = `revision ${revision} compacted ${answer.compactRevision}`;
      return { type: "hash", member: name, point, hash: `${answer.hash}` };
    }),
  );
}

/** What a member holds now: where a history of a store that is in use begins. */
export async function readBase({ client }: StoreMember): Promise<Base> {
  const options = { timeoutMs: 10_000 };
  const { index, revision } = await restingPoint(client);
  const all = { key: bytesOf("\0"), rangeEnd: bytesOf("\0"), revision, keysOnly: true };
  const ours = { key: bytesOf("r"), rangeEnd: bytesOf("\0"), revision };
  const kvs = async (range: typeof ours): Promise<KeyValue[]> => {
    const answer = ofResponse("range", await client.unary(KVService.Range, range, options));
    return answer.op === "range" ? answer.kvs : [];
  };
  const { leases } = await client.unary(LeaseService.LeaseLeases, {}, options);
  const { compactRevision } = await client.unary(MaintenanceService.HashKV, { revision }, options);
  return {
    type: "base",
    index,
    revision,
    compacted: compactRevision,
    kvs: [...(await kvs(all)).filter(({ key }) => !isOwnKey(key)), ...(await kvs(ours))],
    leases: leases.map(({ ID }) => `${ID}`),
  };
}

/** Revision and index that belong together. A member of etcd itself may apply an entry while it tells them. */
async function restingPoint(client: GrpcClient): Promise<{ index: number; revision: number }> {
  let last = { index: -1, revision: -1 };
  for (let attempt = 0; ; attempt++) {
    const status = await client.unary(MaintenanceService.Status, {}, { timeoutMs: 10_000 });
    const now = { index: status.raftAppliedIndex, revision: status.header!.revision };
    if ((now.index === last.index && now.revision === last.revision) || attempt === 100) return now;
    last = now;
  }
}
