import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, test } from "vitest";
import { type Rand, seededRand } from "../../base/rand.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { GrpcError } from "../../net/grpc-error.ts";
import { AuthService, KVService, LeaseService, MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import type { Method } from "../../proto/wire.ts";
import { peer } from "../../tools/peers.ts";
import { startEtcd } from "../server/testing/etcd.ts";
import { startTestCluster } from "../server/testing.ts";

const etcd = peer("etcd");

/** The same requests as the same users to Debian's etcd 3.4 and to a member of ours: answers and refusals are alike. */
describe.skipIf(!etcd)("beside etcd, with auth and alarms", () => {
  const cleanups: (() => unknown)[] = [];
  const sides: { client: GrpcClient; tokens: Map<string, string> }[] = [];
  beforeAll(async () => {
    const real = await startEtcd(etcd!, ["--bcrypt-cost=4"]);
    cleanups.unshift(() => real.close());
    const store = await startTestCluster(1, { flags: ["--bcrypt-cost=4"] });
    cleanups.unshift(() => store.close());
    for (const endpoint of [real.endpoint, store.endpoints[0]!]) {
      const client = new GrpcClient(endpoint.replace("http://", ""));
      sides.push({ client, tokens: new Map() });
      cleanups.unshift(() => client.close());
    }
  });
  afterAll(async () => {
    for (const cleanup of cleanups) await cleanup();
  });

  /** Answer or refusal of both, which must be the same; then what one of them said. */
  async function both(user: string, name: string, method: Method<never, never>, request: object): Promise<unknown> {
    const outcomes = await Promise.all(
      sides.map(async ({ client, tokens }) => {
        const token = tokens.get(user);
        const options = { timeoutMs: 10_000, ...(token ? { metadata: { token } } : {}) };
        try {
          const answer = await client.unary(method as Method<object, object>, request, options);
          if ("token" in answer) tokens.set((request as { name: string }).name, `${answer.token}`);
          return plain(name === "Alarm" ? { ...answer, header: undefined } : answer); // 3.4 gives it no header
        } catch (error) {
          assert.ok(error instanceof GrpcError, `${error}`);
          return { code: error.code, message: error.message };
        }
      }),
    );
    assert.deepEqual(outcomes[1], outcomes[0], `${user || "nobody"}: ${name} ${JSON.stringify(plain(request))}`);
    return outcomes[1];
  }
  // biome-ignore lint/suspicious/noExplicitAny: methods of different types
  const call = (user: string, name: string, method: Method<any, any>, request: object = {}) =>
    both(user, name, method as Method<never, never>, request);

  for (const seed of [1, 2, 3]) {
    test(`a random life of users and roles, seed ${seed}`, async () => {
      const rand = seededRand(seed);
      await call("", "AuthEnable", AuthService.AuthEnable);
      await call("", "UserAdd", AuthService.UserAdd, { name: "root", password: "pw" });
      await call("", "RoleAdd", AuthService.RoleAdd, { name: "root" });
      await call("", "UserGrantRole", AuthService.UserGrantRole, { user: "root", role: "root" });
      await call("", "AuthEnable", AuthService.AuthEnable);
      await call("", "Authenticate", AuthService.Authenticate, { name: "root", password: "pw" });
      for (let i = 0; i < 300; i++) {
        const [name, method, request] = randomRequest(rand);
        const user = rand.below(3) === 0 ? ["", "ann", "bob"][rand.below(3)]! : "root";
        await call(
          name === "Authenticate" ? "" : rand.below(4) > 0 || isKV(name) ? user : "root",
          name,
          method,
          request,
        );
      }
      await call("root", "AuthDisable", AuthService.AuthDisable);
      for (const { tokens } of sides) tokens.clear();
      await call("", "UserDelete", AuthService.UserDelete, { name: "root" });
    });
  }

  test("alarms forbid what they forbid until they are taken back", async () => {
    const member = { memberID: 5n };
    const alarm = (action: number, type: number) =>
      call("", "Alarm", MaintenanceService.Alarm, { ...member, action, alarm: type });
    const kv = async (corrupt: boolean) => {
      await call("", "Put", KVService.Put, bytes({ key: "a", value: "1" }));
      // Differs: with a corrupt member ours refuses reads too, as etcd's documents have it.
      if (!corrupt) await call("", "Range", KVService.Range, bytes({ key: "a" }));
      await call("", "DeleteRange", KVService.DeleteRange, bytes({ key: "a" }));
      await call("", "Txn", KVService.Txn, { success: [{ requestPut: bytes({ key: "a", value: "1" }) }] });
      await call("", "Txn", KVService.Txn, { success: [{ requestDeleteRange: bytes({ key: "a" }) }] });
      await call("", "LeaseGrant", LeaseService.LeaseGrant, { ID: 7n, TTL: 60 });
      await call("", "LeaseRevoke", LeaseService.LeaseRevoke, { ID: 7n });
    };
    for (const type of [1, 2]) {
      await alarm(0, 0);
      await alarm(1, type);
      await alarm(1, type);
      await alarm(0, type);
      await kv(type === 2);
      await alarm(2, type);
      await alarm(2, type);
      await kv(false);
    }
  });
});

/** What a caller sees, without what must differ. */
const plain = (answer: object): unknown =>
  JSON.parse(
    JSON.stringify(answer, (key, value) => {
      if (["clusterId", "memberId", "raftTerm", "token"].includes(key)) return undefined;
      return typeof value === "bigint" ? `${value}` : value;
    }),
  );

const bytes = (texts: Record<string, string>) =>
  Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text)]));

const isKV = (name: string) => name in KVService;

// biome-ignore lint/suspicious/noExplicitAny: methods of different types
function randomRequest(rand: Rand): [name: string, method: Method<any, any>, request: object] {
  const pick = <T>(values: readonly T[]): T => values[rand.below(values.length)]!;
  const user = () => pick(["ann", "ann", "bob", "root"]);
  const role = () => pick(["r1", "r1", "r2", "root"]);
  /** Not root, of which 3.4 shows what was granted, and later ones that it may everything. */
  const plainRole = () => pick(["r1", "r1", "r2", "r3"]);
  const key = () => pick(["a", "b", "c"]);
  const range = () => bytes({ key: key(), rangeEnd: pick(["", "", "d", "dd", "\0"]) });
  /** One range a key: 3.4 keeps a second permission beside the first where a range is granted anew among others. */
  const granted = () => bytes(pick([{ key: "a" }, { key: "b", rangeEnd: "d" }, { key: "c", rangeEnd: "\0" }]));
  const rows: [string, Method<never, never>, object][] = [
    [
      "UserAdd",
      AuthService.UserAdd,
      { name: pick(["ann", "bob", ""]), password: "pw", options: { noPassword: rand.below(8) === 0 } },
    ],
    ["UserGet", AuthService.UserGet, { name: user() }],
    ["UserList", AuthService.UserList, {}],
    ["UserGrantRole", AuthService.UserGrantRole, { user: pick(["ann", "bob"]), role: role() }],
    ["UserGrantRole", AuthService.UserGrantRole, { user: pick(["ann", "bob"]), role: role() }],
    ["RoleAdd", AuthService.RoleAdd, { name: pick(["r1", "r2", ""]) }],
    ["RoleGet", AuthService.RoleGet, { role: plainRole() }],
    ["RoleList", AuthService.RoleList, {}],
    [
      "RoleGrantPermission",
      AuthService.RoleGrantPermission,
      { name: plainRole(), perm: { permType: rand.below(3), ...granted() } },
    ],
    [
      "RoleGrantPermission",
      AuthService.RoleGrantPermission,
      { name: plainRole(), perm: { permType: rand.below(3), ...granted() } },
    ],
    ["Authenticate", AuthService.Authenticate, { name: user(), password: pick(["pw", "pw", "pw", "no"]) }],
    ["Authenticate", AuthService.Authenticate, { name: user(), password: "pw" }],
  ] as never;
  const rare: typeof rows = [
    ["UserDelete", AuthService.UserDelete, { name: user() }],
    ["UserRevokeRole", AuthService.UserRevokeRole, { name: user(), role: role() }],
    ["RoleDelete", AuthService.RoleDelete, { role: role() }],
    ["RoleRevokePermission", AuthService.RoleRevokePermission, { role: role(), ...granted() }],
    ["UserChangePassword", AuthService.UserChangePassword, { name: pick(["ann", "bob"]), password: "pw" }],
  ] as never;
  const kv: typeof rows = [
    ["Range", KVService.Range, range()],
    ["Put", KVService.Put, { ...bytes({ key: key(), value: "v" }), prevKv: rand.below(3) === 0 }],
    ["DeleteRange", KVService.DeleteRange, { ...range(), prevKv: rand.below(3) === 0 }],
    [
      "Txn",
      KVService.Txn,
      {
        compare: [{ target: 0, result: 0, ...bytes({ key: key() }) }],
        success: [{ requestPut: bytes({ key: key(), value: "t" }) }],
        failure: [{ requestRange: range() }],
      },
    ],
  ] as never;
  return pick(rand.below(2) === 0 ? kv : rand.below(4) === 0 ? rare : rows);
}
