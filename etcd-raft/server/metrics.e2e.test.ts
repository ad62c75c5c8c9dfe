import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { startEtcd } from "./testing/etcd.ts";
import { startTestMember } from "./testing.ts";

const etcd = peer("etcd");

/** What Debian's etcd tells and ours does not, with the reason. */
const absent: [pattern: RegExp, reason: string][] = [
  [/^(go|os|promhttp)_/, "of Go's runtime and of its metrics library"],
  [/^etcd_server_go_version$/, "of Go's runtime"],
  [/^etcd_debugging_store_/, "of the v2 store"],
  [/^etcd_grpc_proxy_/, "of etcd's proxy"],
  [/^etcd_(debugging_)?disk_(backend|defrag)_/, "of bbolt: state files are written whole, nothing is defragmented"],
  [/^etcd_mvcc_db_open_read_transactions$/, "of bbolt"],
  [/^etcd_debugging_mvcc_(db|index)_compaction_/, "of bbolt and of the index's own lock"],
  [/^etcd_debugging_mvcc_pending_events_total$/, "nothing waits for a slow watcher: it reads the log again"],
  [/^etcd_debugging_mvcc_(db_total_size_in_bytes|delete_total|put_total|range_total|txn_total)$/, "old names"],
  [/^etcd_debugging_lease_ttl_total$/, "not measured"],
  [
    /^etcd_(debugging_snap_save_marshalling|snap_(db_)?(fsync|save_total))_duration_seconds$/,
    "parts of a snapshot's time",
  ],
  [/^etcd_mvcc_hash_duration_seconds$/, "not measured: a call that only tests make"],
  [/^process_virtual_memory_max_bytes$/, "not told by Node's library"],
];

describe.skipIf(!etcd)("metrics beside etcd", () => {
  test("every name that etcd serves is served, or absent for a reason", async () => {
    const real = await startEtcd(etcd!);
    const store = await startTestMember();
    try {
      const [theirs, ours] = await Promise.all(
        [real.endpoint, store.endpoint].map(async (endpoint) => {
          const text = await (await fetch(`${endpoint}/metrics`)).text();
          return new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name!, type!]));
        }),
      );
      const missing = [...theirs!.keys()].filter(
        (name) => !ours!.has(name) && !absent.some(([pattern]) => pattern.test(name)),
      );
      assert.deepEqual(missing, []);
      const served = absent.filter(([pattern]) =>
        [...ours!.keys()].some((name) => theirs!.has(name) && pattern.test(name)),
      );
      assert.deepEqual(served, [], "a reason for what is there");
      for (const [name, type] of theirs!) if (ours!.has(name)) assert.equal(ours!.get(name), type, name);
    } finally {
      await store.close();
      await real.close();
    }
  });
});
