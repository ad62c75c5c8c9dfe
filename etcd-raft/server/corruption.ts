import type { Cancel } from "../../base/clock.ts";
import { StartError } from "../../base/process.ts";
import { HashKVRequest, HashKVResponse } from "../../proto/generated/etcdserverpb.ts";
import { hashKeys } from "../mvcc/hash.ts";
import { inSlices } from "../snap/slices.ts";
import { Alarm } from "./alarms.ts";
import { idText } from "./cluster.ts";
import { FrameKind } from "./frames.ts";
import type { Member } from "./member.ts";
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
  /** 0: never. */
  everyMs: number;
  compactedMs: number;
}

/** What a member says of itself: its hash at the revision that was asked for, and how far it was then. */
export interface Held {
  id: bigint;
  hash: number;
  compactRevision: number;
  revision: number;
}

/**
 * Who is wrong, and why; 0: somebody, but no majority of the `members` says who. `now`: what the leader had applied after the
 * others had answered, so that nobody can be ahead of it.
 * Differs: etcd asks for the majority after compactions only; the periodic check takes the leader's word.
 */
export function whoDiffers(
  leader: Held,
  now: Pick<Held, "revision" | "compactRevision">,
  others: readonly Held[],
  members: number,
): { member: bigint; reason: string }[] {
  const found = others
    .filter(({ revision, compactRevision }) => revision > now.revision || compactRevision > now.compactRevision)
    .map(({ id, revision, compactRevision }) => ({
      member: id,
      reason: `it is at revision ${revision}, compacted at ${compactRevision}, ahead of the leader with ${now.revision} and ${now.compactRevision}`,
    }));
  const comparable = [leader, ...others.filter(({ compactRevision }) => compactRevision === leader.compactRevision)];
  const count = (wanted: number) => comparable.filter(({ hash }) => hash === wanted).length;
  if (count(leader.hash) === comparable.length) return found;
  const hashes = comparable.map(({ id, hash }) => `${idText(id)} ${hash}`).join(", ");
  const reason = `the hashes of the keys, compacted at ${leader.compactRevision}, are ${hashes}`;
  const right = comparable.find(({ hash }) => 2 * count(hash) > members)?.hash;
  if (right === undefined) return [...found, { member: 0n, reason }];
  return [...found, ...comparable.filter(({ hash }) => hash !== right).map(({ id }) => ({ member: id, reason }))];
}

/** Maintenance.HashKV of this member, for clients and for the other members. */
export async function hashKV(member: Member, revision: number): Promise<HashKVResponse> {
  const { store } = member.applier;
  const { clock, metrics } = member.config;
  const begin = clock.monotonic();
  const { hash, revision: hashRevision, compactRevision } = await inSlices(hashKeys(store, revision), clock);
  metrics.hashKV.observe((clock.monotonic() - begin) / 1000);
  return { header: member.header(store.revision), hash, compactRevision, hashRevision };
}

/** The checks while the member runs. */
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
  const own = await hashKV(member, revision);
  const leader = heldBy(member.id, own);
  const request = HashKVRequest.encode({ revision: own.hashRevision });
  const others = [...applier.members.keys()].filter((id) => id !== member.id);
  const ask = (id: bigint) => transport.call(id, FrameKind.hashKV, request, answerMs);
  const answers = await Promise.all(others.map((id) => answerOf(member, id, ask(id))));
  const now = await member.linearizable(() => applier.store);
  const held = answers.flat();
  const found = whoDiffers(leader, now, held, applier.members.size);
  for (const { member: memberID, reason } of found) {
    config.log.error({ member: idText(memberID), reason }, "The members hold different data (alarm CORRUPT)");
    member.history.server({ kind: "DataDiffers", peer: memberID, reason });
    await member.write({ alarm: { action: 1, memberID, alarm: Alarm.corrupt } });
  }
  const alike =
    held.length === others.length && held.every((other) => other.compactRevision === leader.compactRevision);
  return alike && found.length === 0;
}

/** Before this member serves or hears anybody. `ask` goes to a peer URL. */
export async function checkAtStart(
  member: Member,
  ask: (url: string, kind: FrameKind, request: Uint8Array, timeoutMs: number) => Promise<Buffer>,
): Promise<void> {
  if (member.appliedIndex === 0) return; // a fresh one
  const own = await hashKV(member, 0);
  const request = HashKVRequest.encode({ revision: own.hashRevision });
  const others = [...member.applier.members.values()].filter(({ id }) => id !== member.id);
  const answers = await Promise.all(
    others.map(({ id, peerURLs }) =>
      answerOf(member, id, Promise.any(peerURLs.map((url) => ask(url, FrameKind.hashKV, request, answerMs)))),
    ),
  );
  for (const other of answers.flat())
    if (other.compactRevision === own.compactRevision && other.hash !== own.hash)
      throw new StartError(
        `${idText(member.id)} found data inconsistency with peers: ${idText(other.id)} holds other data`,
      );
}

const heldBy = (id: bigint, { hash, compactRevision, header }: HashKVResponse): Held => ({
  id,
  hash,
  compactRevision,
  revision: header!.revision,
});

/** None when there is none that counts. */
async function answerOf({ config, clusterId }: Member, id: bigint, asked: Promise<Buffer>): Promise<Held[]> {
  try {
    const answer = HashKVResponse.decode(await asked);
    if (answer.header?.clusterId !== clusterId || answer.header.memberId !== id)
      throw new Error("it is another member");
    return [heldBy(id, answer)];
  } catch (error) {
    const { message } = error instanceof AggregateError ? (error.errors[0] as Error) : (error as Error);
    config.log.warn({ peer: idText(id), reason: message }, "Could not compare this member's data with a peer's");
    return [];
  }
}

const answerMs = 60_000;
