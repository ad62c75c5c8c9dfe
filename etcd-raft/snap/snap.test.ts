import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, test } from "vitest";
import { systemClock } from "../../base/clock.ts";
import { KeyValue } from "../../proto/generated/mvccpb.ts";
import { parsePair } from "../file-names.ts";
import { Lessor } from "../lease/lessor.ts";
import { hashKV } from "../mvcc/hash.ts";
import { Store } from "../mvcc/store.ts";
import { keyText } from "../mvcc/version.ts";
import { nodeDisk } from "../wal/disk.ts";
import { withDb, writeDb } from "./db-file.ts";
import { keyRows, readKeys } from "./key-rows.ts";
import { confStateJSON, type MemberRecord, memberFromJSON, memberJSON, parseConfState } from "./membership.ts";
import { decodeSnap, encodeSnap, snapName } from "./snap-file.ts";
import { noAuth, readState, type State } from "./state.ts";

const dir = mkdtempSync(join(tmpdir(), "snap-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Objects of the ordinary kind, as the code makes them. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true });
const id = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });
const urls = fc.array(fc.webUrl(), { maxLength: 2 });
const member: fc.Arbitrary<MemberRecord> = record({
  id,
  name: fc.string(),
  peerURLs: urls,
  clientURLs: urls,
  isLearner: fc.boolean(),
});
const confState = record({
  voters: fc.array(id),
  learners: fc.array(id),
  votersOutgoing: fc.array(id),
  learnersNext: fc.array(id),
  autoLeave: fc.boolean(),
});
const uniqueBy = <T>(item: fc.Arbitrary<T>, by: (item: T) => unknown) =>
  fc.uniqueArray(item, { selector: by, maxLength: 5 });
const rows = uniqueBy(fc.tuple(fc.uint8Array(), fc.uint8Array()), ([key]) => Buffer.from(key).toString("hex"));
const auth = record({ auth: rows, authUsers: rows, authRoles: rows });
const lease = record({ id: fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), ttl: fc.nat(), remainingTTL: fc.nat() });
const state: fc.Arbitrary<State> = record({
  consistentIndex: fc.maxSafeNat(),
  term: fc.maxSafeNat(),
  confState,
  members: uniqueBy(member, (m) => m.id),
  removedMembers: uniqueBy(id, (i) => i),
  clusterVersion: fc.constantFrom("", "3.6.0"),
  downgradeTarget: fc.constantFrom("", "3.5.0"),
  leases: uniqueBy(lease, (l) => l.id),
  alarms: uniqueBy(record({ memberID: id, alarm: fc.constantFrom(1, 2) }), (a) => a.memberID),
  auth,
});
const puts = fc.array(
  record({ key: fc.uint8Array({ minLength: 1, maxLength: 3 }), value: fc.uint8Array(), leased: fc.boolean() }),
  { maxLength: 60 },
);

/** Comparable: rows have no order but that of their keys. */
const plain = (s: State) => ({
  ...s,
  members: s.members.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  removedMembers: s.removedMembers.toSorted((a, b) => (a < b ? -1 : 1)),
  leases: s.leases.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  alarms: s.alarms.toSorted((a, b) => (a.memberID < b.memberID ? -1 : 1)),
  auth: Object.entries(s.auth).map(([name, list]) => [
    name,
    list.map(([k, v]) => [Buffer.from(k).toString("hex"), Buffer.from(v).toString("hex")]).sort(),
  ]),
});

test("any state comes back from its file: leases and their keys, membership, alarms, auth, every version", async () => {
  await fc.assert(
    fc.asyncProperty(state, puts, fc.nat(60), async (written, changes, compact) => {
      const lessor = new Lessor(1);
      for (const { id: leaseId } of written.leases) lessor.grant(leaseId, 10, 0);
      const store = new Store(lessor);
      for (const { key, value, leased } of changes) {
        const write = store.begin();
        write.put(keyText(key), value, leased ? (written.leases[0]?.id ?? 0n) : 0n);
        if (value.length > 5) write.deleteRange({ key: "a", end: "z" });
        write.end();
      }
      if (compact > 0 && compact <= store.revision) {
        store.compact(compact);
        while (store.compactStep(10));
      }
      await writeDb(`${dir}/db`, written, store.view(), nodeDisk, systemClock);
      await withDb(`${dir}/db`, nodeDisk, async (db) => {
        const { scheduledCompact, finishedCompact, ...read } = await readState(db);
        assert.deepEqual(plain(read), plain(written));
        const newLessor = new Lessor(1);
        for (const { id: leaseId } of read.leases) newLessor.grant(leaseId, 10, 0);
        const again = new Store(newLessor);
        await readKeys(db, again, { scheduledCompact, finishedCompact });
        assert.equal(again.revision, store.revision);
        assert.equal(again.compactRevision, store.compactRevision);
        assert.equal(hashKV(again, 0), hashKV(store, 0));
        for (const { id: leaseId } of written.leases)
          assert.deepEqual(newLessor.timeToLive(leaseId, 0), lessor.timeToLive(leaseId, 0));
      });
    }),
    { numRuns: 100 },
  );
});

test("a row of the key bucket is a KeyValue as the general codec writes it", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      (key, value, leaseId) => {
        const store = new Store();
        const write = store.begin();
        write.put(keyText(key), value, leaseId);
        write.end();
        const row = keyRows(store.view());
        assert.ok(row.next());
        const bytes = Buffer.alloc(row.keyBytes + row.valueBytes);
        row.copyKey(bytes, 0);
        row.copyValue(bytes, row.keyBytes);
        assert.equal(bytes.toString("hex", 0, 17), "0000000000000002" + "5f" + "0000000000000000");
        const kv = { key, value, createRevision: 2, modRevision: 2, version: 1, lease: leaseId };
        assert.deepEqual(bytes.subarray(17), Buffer.from(KeyValue.encode(kv)));
        assert.equal(row.next(), false);
      },
    ),
  );
});

test("ids of 64 bits pass through JSON", () => {
  fc.assert(fc.property(member, (m) => assert.deepEqual(memberFromJSON(m.id, memberJSON(m)), m)));
  fc.assert(fc.property(confState, (c) => assert.deepEqual(parseConfState(confStateJSON(c)), c)));
});

test("membership in etcd's own words", () => {
  const m = { id: 0x8e9e05c52164694dn, name: "m", peerURLs: ["http://p"], clientURLs: ["http://c"], isLearner: false };
  assert.equal(
    memberJSON(m),
    '{"id":10276657743932975437,"peerURLs":["http://p"],"name":"m","clientURLs":["http://c"]}',
  );
  assert.equal(
    confStateJSON({ voters: [m.id], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false }),
    '{"voters":[10276657743932975437],"auto_leave":false}',
  );
});

describe("the .snap file", () => {
  const snap = {
    index: 7,
    term: 2,
    confState: { voters: [1n, 2n ** 63n], learners: [], votersOutgoing: [], learnersNext: [], autoLeave: false },
    members: [
      { id: 2n ** 63n, name: "a", peerURLs: ["http://a"], clientURLs: ["http://b"], isLearner: false },
      { id: 1n, name: "", peerURLs: ["http://c"], clientURLs: [], isLearner: true },
    ],
    removedMembers: [5n],
    clusterVersion: "3.4.0",
  };

  const decoded = (bytes: Uint8Array) => {
    const read = decodeSnap(bytes);
    return { ...read, members: read.members.toSorted((a, b) => (a.id > b.id ? -1 : 1)) };
  };

  test("comes back", () => {
    assert.deepEqual(decoded(encodeSnap(snap)), snap);
  });

  test("is named after term and index", () => {
    assert.equal(snapName(snap), "0000000000000002-0000000000000007.snap");
    assert.deepEqual(parsePair(snapName(snap), "snap"), [2, 7]);
    assert.equal(parsePair("0000000000000007.snap.db", "snap"), undefined);
  });

  test("any flipped bit that matters is noticed", () => {
    const bytes = encodeSnap(snap);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
        const damaged = Uint8Array.from(bytes);
        damaged[at]! ^= 1 << bit;
        let read: unknown;
        try {
          read = decoded(damaged);
        } catch {
          return;
        }
        assert.deepEqual(read, snap);
      }),
    );
  });
});

test("no state but the empty one: all buckets are there", async () => {
  const empty: State = {
    consistentIndex: 0,
    term: 0,
    confState: undefined,
    members: [],
    removedMembers: [],
    clusterVersion: "",
    downgradeTarget: "",
    leases: [],
    alarms: [],
    auth: noAuth(),
  };
  await writeDb(`${dir}/db`, empty, new Store().view(), nodeDisk, systemClock);
  await withDb(`${dir}/db`, nodeDisk, async (db) => {
    const names: string[] = [];
    for await (const page of db.rows()) names.push(...page.map(({ key }) => key.toString()));
    assert.deepEqual(names, "alarm auth authRoles authUsers cluster key lease members members_removed meta".split(" "));
    const store = new Store();
    await readKeys(db, store, await readState(db));
    assert.equal(store.revision, 1);
    assert.equal(store.compactRevision, -1);
  });
});
