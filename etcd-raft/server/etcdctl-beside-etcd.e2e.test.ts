import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { startEtcd } from "./testing/etcd.ts";
import { startTestCluster } from "./testing.ts";

const etcd = peer("etcd");
const etcdctl = peer("etcdctl");

/** What Debian's etcdctl prints and how it exits, at etcd 3.4 and at a member of ours: the same but for ids, sizes and times. */
describe.skipIf(!etcd || !etcdctl)("etcdctl beside etcd", () => {
  const dir = mkdtempSync(join(tmpdir(), "beside-"));
  const endpoints: string[] = [];
  const closes: (() => unknown)[] = [];
  beforeAll(async () => {
    const real = await startEtcd(etcd!, ["--name=m0", "--bcrypt-cost=4"]);
    closes.push(() => real.close());
    const ours = await startTestCluster(1, { flags: ["--bcrypt-cost=4"] });
    closes.push(() => ours.close());
    endpoints.push(real.endpoint, ours.endpoints[0]!);
  });
  afterAll(async () => {
    for (const close of closes) await close();
    rmSync(dir, { recursive: true, force: true });
  });

  const run = (endpoint: string, args: string[], input: string) =>
    new Promise<{ code: number; out: string; err: string }>((resolve) => {
      const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: endpoint };
      const child = execFile(etcdctl!, args, { env, timeout: 20_000 }, (error, out, err) =>
        resolve({ code: error === null ? 0 : (error.code as number), out: plain(out), err: plain(err) }),
      );
      child.stdin!.end(input);
    });

  /** What differs, in the order of the commands. */
  const differences = async (commands: readonly (string | [args: string, input: string])[]) => {
    const found: object[] = [];
    for (const command of commands) {
      const [args, input] = typeof command === "string" ? [command, ""] : command;
      const [theirs, ours] = await Promise.all(endpoints.map((endpoint) => run(endpoint, args.split(" "), input)));
      if (!isDeepStrictEqual(ours, theirs)) found.push({ command, theirs, ours });
    }
    return found;
  };

  const rows: [name: string, commands: (string | [args: string, input: string])[]][] = [
    [
      "put, get and del in every form",
      [
        "put a 1",
        "put a 2 --prev-kv",
        "put b 1 -w json",
        "put a --ignore-value",
        "put nothing --ignore-value",
        "put nothing --ignore-lease x",
        "put a 3 --lease=77",
        ["put -- -dash", "from the input"],
        "put",
        "get a -w json",
        "get a -w fields",
        "get a -w table",
        "get a --rev=1",
        "get a --rev=2",
        "get a --rev=9999",
        "get a z --order=DESCEND --sort-by=MODIFY",
        "get a z --sort-by=VALUE --limit=1 -w json",
        "get --prefix a --keys-only -w fields",
        "get --from-key a --print-value-only",
        "get --from-key --prefix a",
        "get a --consistency=s",
        "get a --hex",
        "get a --write-out=simple --order=SIDEWAYS",
        "del a -w json",
        "del a --prev-kv",
        "del b --prev-kv -w fields",
        "del --from-key zzz",
        "del",
        "nothing of the kind",
      ],
    ],
    [
      "txn with every compare, and what is no txn",
      [
        "put t 1",
        ["txn", 'value("t") = "1"\n\nput t 2\nget t\ndel t\n\nput t 3\n\n'],
        ["txn", 'mod("t") > "0"\nversion("t") = "0"\ncreate("t") = "0"\n\nput t 2\n\nget t\n\n'],
        ["txn -w json", 'lease("t") = "0"\n\nget t\n\n\n'],
        ["txn", "\n\nput t 1\nput t 2\n\n\n"],
        ["txn", 'mod("t") ~ "0"\n\n\n\n'],
        ["txn", "nonsense\n"],
      ],
    ],
    [
      "leases",
      [
        "lease grant 1000000000000",
        "lease grant soon",
        "lease revoke 1234",
        "lease revoke xyz",
        "lease timetolive 1234",
        "lease timetolive 1234 -w json",
        "lease keep-alive 1234 --once",
        "lease list",
        "lease list -w json",
      ],
    ],
    [
      "compaction and its refusals",
      ["put c 1", "put c 2", "compact 2", "compact 2", "compact 9999", "compact x", "get c --rev=1"],
    ],
    ["watches that end by themselves", ["watch c --rev=1", "watch"]],
    [
      "members",
      [
        "member list",
        "member list -w json",
        "member list -w fields",
        "member list -w table",
        "member add x --peer-urls=",
        "member add x --peer-urls=nonsense",
        "member remove 1234",
        "member remove xyz",
        "member update 1234 --peer-urls=http://127.0.0.1:9",
        "member promote 1234",
        "move-leader 1234",
        "move-leader xyz",
      ],
    ],
    [
      "endpoints, alarms and maintenance",
      [
        "endpoint health",
        "endpoint health -w json",
        "endpoint health --cluster",
        "endpoint status",
        "endpoint status -w table",
        "endpoint status -w fields",
        "endpoint hashkv",
        "endpoint hashkv --rev=9999",
        "alarm list",
        "alarm disarm",
        "defrag",
        "version",
      ],
    ],
    [
      "users and roles, and auth turned on and off",
      [
        "user add ann:pw",
        "user add ann:pw",
        "user add --no-password bob",
        "user get ann",
        "user get ann --detail",
        "user get nobody",
        "user list -w json",
        "user passwd nobody",
        "role add r",
        "role add r",
        "role grant-permission r read k",
        "role grant-permission r readwrite a z",
        "role grant-permission r write p --prefix",
        "role grant-permission r read from --from-key",
        "role grant-permission r sideways k",
        "role get r",
        "role get r -w json",
        "role get nothing",
        "role list",
        "role revoke-permission r k",
        "role revoke-permission r k",
        "user grant-role ann r",
        "user grant-role ann nothing",
        "user get ann --detail",
        "user revoke-role ann nothing",
        "auth enable",
        "user add root:pw",
        "auth enable",
        "role add root",
        "user grant-role root root",
        "auth enable",
        "get k",
        "get k --user=ann:wrong",
        "get k --user=ann:pw",
        "get a b --user=ann:pw",
        "put k 1 --user=bob:pw",
        "user list --user=ann:pw",
        "auth disable --user=ann:pw",
        "auth disable --user=root:pw",
        "user delete ann",
        "user delete ann",
        "role delete r",
        "role delete r",
      ],
    ],
    ["a lock", ["lock l echo held", "lock", "elect"]],
  ];
  for (const [name, commands] of rows) {
    test(name, async () => assert.deepEqual(await differences(commands), []));
  }

  test("a snapshot is saved and its status told", async () => {
    const outputs = endpoints.map(async (endpoint, i) => {
      const file = join(dir, `${i}.db`);
      const saved = await run(endpoint, ["snapshot", "save", file], "");
      const status = await run(endpoint, ["snapshot", "status", file], "");
      return [saved.code, saved.out.replaceAll(file, "F"), status.code, status.out.split(", ").length];
    });
    const [theirs, ours] = await Promise.all(outputs);
    assert.deepEqual(ours, theirs);
  });
});

/** Without what must differ: addresses, ids, sizes, terms, versions and times. */
const plain = (text: string): string =>
  text
    .replace(/panic: .*/s, "panic")
    .replace(/http:\/\/(127\.0\.0\.1|localhost):\d+|127\.0\.0\.1:\d+/g, "E")
    .replace(/ {2,}|-{2,}/g, " ") // a table's columns are as wide as what is in them
    .replace(/\b3\.[46]\.\d+\b/g, "VERSION")
    .replace(/\b\d+(\.\d+)? [kM]B\b/g, "SIZE")
    .replace(/"(DBSize|DBSizeInUse|dbSize|dbSizeInUse|RaftIndex|RaftAppliedIndex|Hash|hash|Leader)" *: *\d+/g, '"$1"')
    .replace(/(, |\| +)\d+(, | +\| +)\d+(, | +\| +)\d+(?=, | +\|)/g, "$1N$2N$3N")
    .replace(/"(member_id|cluster_id|raft_term|ID|leader)":\d+/g, '"$1":0')
    .replace(/"(MemberID|ClusterID|RaftTerm|ID)" *:? *[0-9a-fx]+/g, '"$1"')
    .replace(/\b[0-9a-f]{15,16}\b/g, "ID")
    .replace(/\b\d+(\.\d+)?(µs|ms|s)\b/g, "TIME")
    .replace(/"took":"[^"]*"/g, '"took":""')
    .replace(/"ts":"[^"]*"/g, "")
    .replace(/client-[0-9a-f-]+\//g, "client/");
