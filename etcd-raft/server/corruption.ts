import type { Cancel } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import type { TlsSource } from "../../net/tls-source.ts";
import { HashKVRequest, HashKVResponse, type ResponseHeader } from "../../proto/generated/etcdserverpb.ts";
import { hashKeys } from "../mvcc/hash.ts";
import type { MemberRecord } from "../snap/membership.ts";
import { inSlices } from "../snap/slices.ts";
import { Alarm } from "./alarms.ts";
import { idText } from "./cluster.ts";
import { FrameKind } from "./frames.ts";
import type { Member } from "./member.ts";
import { askAt } from "./peer.ts";
import { repeat } from "./waiters.ts";

/**
 * etcd's checks that all members hold the same (server/etcdserver/corrupt.go): they compare HashKV at one revision.
 *
 * - `--corrupt-check-time`: the leader asks all others now and then. `--compact-hash-check-enabled`: it does so at each new
 *   compact revision, where there is less to hash. What differs raises the alarm CORRUPT with that member's id, and then all
 *   members refuse all of KV and Lease until it is taken back: replace the member first.
 * - `--initial-corrupt-check`: a member that starts on data compares itself with the others before it serves anybody, and
 *   ends if it differs from one of them.
 *
 * Only members with the same compact revision can be compared. Who does not answer, or has not come so far, is left out.
 */
export interface CorruptionChecks {
  atStart: boolean;
  everyMs: number; // 0: never
  compactedMs: number;
}

/** What a member says of itself. The header's revision is how far it was then. */
export type Answer = Pick<HashKVResponse, "hash" | "compactRevision"> & {
  header: Pick<ResponseHeader, "memberId" | "revision">;
};

/**
 * Who is wrong, and why; 0: somebody, but no majority of the `members` says who. `now`: what the leader had applied after the
 * others had answered, so that nobody can be ahead of it.
 * Differs: etcd asks for the majority after compactions only; the periodic check takes the leader's word.
 */
export function whoDiffers(
  leader: Answer,
  now: { revision: number; compactRevision: number },
  others: readonly Answer[],
  members: number,
): { peer: bigint; reason: string }[] {
  const found = others
    .filter(({ header, compactRevision }) => header.revision > now.revision || compactRevision > now.compactRevision)
    .map(({ header }) => ({ peer: header.memberId, reason: "it is ahead of the leader" }));
  const comparable = [leader, ...others.filter(({ compactRevision }) => compactRevision === leader.compactRevision)];
  const count = (wanted: number) => comparable.filter(({ hash }) => hash === wanted).length;
  if (count(leader.hash) === comparable.length) return found;
  const hashes = comparable.map(({ header, hash }) => `${idText(header.memberId)} ${hash}`).join(", ");
  const reason = `the hashes of the keys, compacted at ${leader.compactRevision}, are ${hashes}`;
  const right = comparable.find(({ hash }) => 2 * count(hash) > members)?.hash;
  if (right === undefined) return [...found, { peer: 0n, reason }];
  const wrong = comparable.filter(({ hash }) => hash !== right);
  return [...found, ...wrong.map(({ header }) => ({ peer: header.memberId, reason }))];
}

/** Maintenance.HashKV of this member, for clients and for the other members. */
export async function hashKV(member: Member, revision: number): Promise<HashKVResponse & Answer> {
  const { store } = member.applier;
  const { clock, metrics } = member.config;
  const begin = clock.monotonic();
  const { hash, revision: hashRevision, compactRevision } = await inSlices(hashKeys(store, revision), clock);
  metrics.hashKV.observe((clock.monotonic() - begin) / 1000);
  return { header: member.header(store.revision), hash, compactRevision, hashRevision };
}

export function watchCorruption(member: Member, { everyMs, compactedMs }: CorruptionChecks): Cancel {
  const { clock, log } = member.config;
  const { store } = member.applier;
  let checked = 0; // the last compact revision at which all were found alike
  const run = (ms: number, check: () => Promise<unknown>): Cancel => {
    if (ms === 0) return () => {};
    const warn = (error: Error) => log.warn({ reason: error.message }, "Could not check the members for corruption");
    return repeat(clock, ms, async () => (member.isLeader ? check().catch(warn) : undefined));
  };
  const cancels = [
    run(everyMs, () => compare(member, 0)),
    run(compactedMs, async () => {
      const at = store.compactRevision;
      if (at > checked && (await compare(member, at))) checked = at;
    }),
  ];
  return () => {
    for (const cancel of cancels) cancel();
  };
}

/** Were all of them compared and found alike? */
async function compare(member: Member, revision: number): Promise<boolean> {
  const { applier, config, transport } = member;
  const { own, others } = await answersOf(member, revision, ({ id }, request) =>
    transport.call(id, FrameKind.hashKV, request, answerMs),
  );
  const now = await member.linearizable(() => applier.store);
  const found = whoDiffers(own, now, others, applier.members.size);
  for (const { peer, reason } of found) {
    config.log.error({ member: idText(peer), reason }, "The members hold different data (alarm CORRUPT)");
    member.history.server({ kind: "DataDiffers", peer, reason });
    await member.write({ alarm: { action: 1, memberID: peer, alarm: Alarm.corrupt } });
  }
  const comparable = others.filter(({ compactRevision }) => compactRevision === own.compactRevision);
  return found.length === 0 && comparable.length === applier.members.size - 1;
}

/** Before this member serves or hears anybody. Throws a StartError. `tls`: to dial peers with. */
export async function checkAtStart(member: Member, tls: TlsSource | undefined): Promise<void> {
  if (member.appliedIndex === 0) return; // a fresh one
  const { own, others } = await answersOf(member, 0, ({ peerURLs }, request) =>
    Promise.any(peerURLs.map((url) => askAt(url, tls, FrameKind.hashKV, request, atStartMs))),
  );
  const other = others.find(
    ({ hash, compactRevision }) => compactRevision === own.compactRevision && hash !== own.hash,
  );
  if (other === undefined) return;
  const [self, peer] = [own, other].map(({ header }) => idText(header.memberId));
  throw new StartError(`${self} found data inconsistency with peers: ${peer} holds other data`);
}

/** `others`: those who answered. */
async function answersOf(
  member: Member,
  revision: number,
  ask: (peer: MemberRecord, request: Uint8Array) => Promise<Buffer>,
): Promise<{ own: Answer; others: Answer[] }> {
  const own = await hashKV(member, revision);
  const request = HashKVRequest.encode({ revision: own.hashRevision });
  const peers = [...member.applier.members.values()].filter(({ id }) => id !== member.id);
  const others = peers.map(async (peer): Promise<Answer[]> => {
    try {
      const { header, ...answer } = HashKVResponse.decode(await ask(peer, request));
      if (header?.clusterId === member.clusterId && header.memberId === peer.id) return [{ ...answer, header }];
      throw new Error("it is another member");
    } catch (error) {
      const reason = `${(error as AggregateError).errors ?? (error as Error).message}`;
      member.config.log.warn({ peer: idText(peer.id), reason }, "Could not compare this member's data with a peer's");
      return [];
    }
  });
  return { own, others: (await Promise.all(others)).flat() };
}

const answerMs = 60_000;
const atStartMs = 7000; // as etcd: a peer that takes the connection and is silent holds up no start for longer
