import { AlarmMember } from "../../proto/generated/etcdserverpb.ts";
import { Lease } from "../../proto/generated/leasepb.ts";
import type { ConfState } from "../../proto/generated/raftpb.ts";
import { arrayCursor, type Bucket } from "../bolt/plan.ts";
import { type Bolt, BoltError } from "../bolt/reader.ts";
import { revisionKey } from "../mvcc/record.ts";
import type { StoreView } from "../mvcc/store.ts";
import { keyRows } from "./key-rows.ts";
import { confStateJSON, idText, type MemberRecord, memberFromJSON, memberJSON, parseConfState } from "./membership.ts";

/**
 * What etcd's state file `member/snap/db` holds beside the keys (etcd 3.6, `server/storage/schema`): everything that the
 * entries up to `consistentIndex` have made. Later ones come from the WAL.
 *
 *     key              revision (key-rows.ts)   -> KeyValue
 *     meta             consistent_index, term u64 BE; confState JSON; storageVersion; scheduledCompactRev, finishedCompactRev
 *     lease            id u64 BE                -> leasepb.Lease
 *     alarm            AlarmMember              -> nothing
 *     cluster          clusterVersion; downgrade JSON
 *     members          id in hex                -> JSON;  members_removed: id in hex -> "removed"
 *     auth, authUsers, authRoles
 */
export interface State {
  consistentIndex: number; // index and term of the last applied entry. 3.4 keeps no term here: 0.
  term: number;
  confState: ConfState | undefined; // undefined in a file of 3.4, which has it in the `.snap` alone
  members: MemberRecord[]; // of 3.5 and before not to be relied on: what counts there is in the `.snap`
  removedMembers: bigint[];
  clusterVersion: string;
  downgradeTarget: string; // the version that a downgrade under way leads to, else empty
  leases: { id: bigint; ttl: number; remainingTTL: number }[];
  alarms: AlarmMember[];
  auth: Record<(typeof authBuckets)[number], Row[]>; // as they stand: key and value
}

type Row = readonly [Uint8Array, Uint8Array];
const authBuckets = ["auth", "authUsers", "authRoles"] as const;
const storageVersion = "3.6.0"; // which etcd made the layout

export const noAuth = (): State["auth"] => ({ auth: [], authUsers: [], authRoles: [] });

/** The file's buckets, for `planBolt`. `view` is the store just after the entry `consistentIndex`. */
export function stateBuckets(state: State, view: StoreView): Bucket[] {
  const { leases, alarms, members, removedMembers, auth } = state;
  const buckets: Record<string, Row[]> = {
    meta: metaRows(state, view),
    lease: leases.map(({ id, ttl, remainingTTL }) => [u64(id), Lease.encode({ ID: id, TTL: ttl, remainingTTL })]),
    alarm: alarms.map((alarm) => [AlarmMember.encode(alarm), nothing]),
    cluster: clusterRows(state),
    members: members.map((member) => [text(idText(member.id)), text(memberJSON(member))]),
    members_removed: removedMembers.map((id) => [text(idText(id)), text("removed")]),
    ...auth,
  };
  const sorted = Object.entries(buckets).map(([name, rows]): Bucket => {
    const inOrder = rows.toSorted(([a], [b]) => Buffer.compare(a, b));
    return { name, rows: () => arrayCursor(inOrder) };
  });
  return [{ name: "key", rows: () => keyRows(view) }, ...sorted];
}

function metaRows(
  { consistentIndex, term, confState, downgradeTarget }: State,
  { scheduledCompact, finishedCompact }: StoreView,
): Row[] {
  const rows: Row[] = [
    [text("consistent_index"), u64(BigInt(consistentIndex))],
    [text("term"), u64(BigInt(term))],
  ];
  // etcd before 3.6 does not know it.
  if (downgradeTarget === "") rows.push([text("storageVersion"), text(storageVersion)]);
  if (confState) rows.push([text("confState"), text(confStateJSON(confState))]);
  if (scheduledCompact > 0) rows.push([text("scheduledCompactRev"), revisionKey(scheduledCompact, 0)]);
  if (finishedCompact > 0) rows.push([text("finishedCompactRev"), revisionKey(finishedCompact, 0)]);
  return rows;
}

function clusterRows({ clusterVersion, downgradeTarget }: State): Row[] {
  const rows: Row[] = [];
  if (clusterVersion) rows.push([text("clusterVersion"), text(clusterVersion)]);
  if (downgradeTarget) {
    const info = { "target-version": downgradeTarget, enabled: true };
    rows.push([text("downgrade"), text(JSON.stringify(info))]);
  }
  return rows;
}

/** All but the keys (`readKeys`). Buckets that are not there count as empty. Throws BoltError. */
export async function readState(db: Bolt): Promise<State & Pick<StoreView, "scheduledCompact" | "finishedCompact">> {
  const named = async (name: string) =>
    new Map((await rowsOf(db, name)).map(([key, value]) => [key.toString(), value]));
  const meta = await named("meta");
  const cluster = await named("cluster");
  const confState = meta.get("confState");
  const auth = noAuth();
  for (const name of authBuckets) auth[name] = await rowsOf(db, name);
  return {
    consistentIndex: number(meta, "consistent_index", 8, 0),
    term: number(meta, "term", 8, 0),
    scheduledCompact: number(meta, "scheduledCompactRev", 17, -1),
    finishedCompact: number(meta, "finishedCompactRev", 17, -1),
    confState: confState && parseConfState(confState.toString()),
    members: (await rowsOf(db, "members")).map(([key, value]) => memberFromJSON(idFrom(key), value.toString())),
    removedMembers: (await rowsOf(db, "members_removed")).map(([key]) => idFrom(key)),
    clusterVersion: cluster.get("clusterVersion")?.toString() ?? "",
    downgradeTarget: parseDowngrade(cluster.get("downgrade")?.toString() ?? "null"),
    leases: (await rowsOf(db, "lease")).map(([, value]) => {
      const { ID: id, TTL: ttl, remainingTTL } = Lease.decode(value);
      return { id, ttl, remainingTTL };
    }),
    alarms: (await rowsOf(db, "alarm")).map(([key]) => AlarmMember.decode(key)),
    auth,
  };
}

function parseDowngrade(json: string): string {
  const info = JSON.parse(json) as { enabled?: boolean; "target-version"?: string } | null;
  return info?.enabled ? (info["target-version"] ?? "") : "";
}

async function rowsOf(db: Bolt, name: string): Promise<[Buffer, Buffer][]> {
  const all: [Buffer, Buffer][] = [];
  const bucket = await db.bucket(name);
  if (bucket === undefined) return all;
  for await (const rows of bucket.rows())
    for (const { key, value } of rows) all.push([Buffer.from(key), Buffer.from(value)]);
  return all;
}

function number(meta: Map<string, Buffer>, name: string, length: number, absent: number): number {
  const value = meta.get(name);
  if (value === undefined) return absent;
  if (value.length !== length)
    throw new BoltError(`${name} in the meta bucket has ${value.length} bytes instead of ${length}`);
  return Number(value.readBigUInt64BE(0));
}

const idFrom = (key: Buffer): bigint => BigInt(`0x${key.toString()}`);
const text = (s: string): Buffer => Buffer.from(s);
const nothing = new Uint8Array(0);

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, value));
  return bytes;
}
