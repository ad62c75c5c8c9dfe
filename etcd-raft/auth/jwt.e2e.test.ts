import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, test } from "vitest";
import { GrpcClient } from "../../net/grpc-client.ts";
import { AuthService, KVService } from "../../proto/generated/etcdserverpb.ts";
import { peer } from "../../tools/peers.ts";
import { startEtcd } from "../server/testing/etcd.ts";
import { type ProcessCluster, startProcessCluster } from "../server/testing.ts";
import { loadJwt } from "./jwt.ts";

const etcd = peer("etcd");
const etcdctl = peer("etcdctl");
const dir = mkdtempSync(join(tmpdir(), "jwt-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function keyFiles(name: string): { pub: string; priv: string } {
  const { publicKey, privateKey } =
    name === "ec"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("rsa", { modulusLength: 2048 });
  const files = { pub: join(dir, `${name}.pub`), priv: join(dir, `${name}.key`) };
  writeFileSync(files.pub, publicKey.export({ type: "spki", format: "pem" }));
  writeFileSync(files.priv, privateKey.export({ type: name === "ec" ? "sec1" : "pkcs1", format: "pem" } as never), {
    mode: 0o600,
  });
  return files;
}

/** Users root and ann; ann may everything under "app/". The same steps make the same auth revision on every store. */
async function enableAuth(client: GrpcClient): Promise<void> {
  for (const name of ["root", "ann"]) await client.unary(AuthService.UserAdd, { name, password: "pw" });
  for (const name of ["root", "app"]) await client.unary(AuthService.RoleAdd, { name });
  const perm = { permType: 2, key: Buffer.from("app/"), rangeEnd: Buffer.from("app0") };
  await client.unary(AuthService.RoleGrantPermission, { name: "app", perm });
  await client.unary(AuthService.UserGrantRole, { user: "root", role: "root" });
  await client.unary(AuthService.UserGrantRole, { user: "ann", role: "app" });
  await client.unary(AuthService.AuthEnable, {});
}

const tokenOf = async (client: GrpcClient, name: string) =>
  (await client.unary(AuthService.Authenticate, { name, password: "pw" })).token;
const put = (client: GrpcClient, token: string, key: string) =>
  client.unary(KVService.Put, { key: Buffer.from(key), value: Buffer.from("1") }, { metadata: { token } });

describe("three members with JWT tokens", () => {
  let cluster: ProcessCluster;
  let clients: GrpcClient[];
  beforeAll(async () => {
    const { priv } = keyFiles("members");
    cluster = await startProcessCluster(3, {
      flags: ["--bcrypt-cost=4", `--auth-token=jwt,priv-key=${priv},sign-method=RS256,ttl=1h`],
    });
    clients = cluster.endpoints.map((endpoint) => new GrpcClient(endpoint.replace("http://", "")));
    await enableAuth(clients[0]!);
  });
  afterAll(async () => {
    for (const client of clients ?? []) client.close();
    await cluster?.close();
  });

  test("a token of one counts at all, also after a restart", async () => {
    const token = await tokenOf(clients[0]!, "ann");
    for (const [i, client] of clients.entries()) await put(client, token, `app/${i}`);
    await cluster.kill(1, "SIGKILL");
    await cluster.start(1);
    await clients[1]!.ready(20_000);
    await put(clients[1]!, token, "app/again");
    await assert.rejects(put(clients[2]!, token, "other"), { message: "etcdserver: permission denied" });
    await assert.rejects(put(clients[2]!, `${token}x`, "app/x"), { message: "etcdserver: invalid auth token" });
  });

  test("after a change of users an older token is refused as old, and a new one counts", async () => {
    const [ann, root] = [await tokenOf(clients[2]!, "ann"), await tokenOf(clients[2]!, "root")];
    await clients[0]!.unary(AuthService.UserAdd, { name: "bob", password: "pw" }, { metadata: { token: root } });
    await assert.rejects(put(clients[0]!, ann, "app/old"), { message: "etcdserver: revision of auth store is old" });
    await put(clients[0]!, await tokenOf(clients[0]!, "ann"), "app/new");
  });

  test.skipIf(!etcdctl)("etcdctl with user and password", async () => {
    const env = { ...process.env, ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: cluster.endpoints.join(",") };
    const run = async (...args: string[]) =>
      (await promisify(execFile)(etcdctl!, ["--user=ann:pw", ...args], { env, timeout: 30_000 })).stdout;
    assert.equal(await run("put", "app/ctl", "1"), "OK\n");
    assert.equal(await run("get", "app/ctl"), "app/ctl\n1\n");
    await assert.rejects(run("get", "shared"), /permission denied/);
  });
});

test("a member with the public key alone reads tokens and makes none", async () => {
  const { pub, priv } = keyFiles("reader");
  const maker = loadJwt({ pubKey: undefined, privKey: priv, method: "RS256", ttlMs: 60_000 }, (file) =>
    readFileSync(file),
  );
  const cluster = await startProcessCluster(1, {
    flags: ["--bcrypt-cost=4", `--auth-token=jwt,pub-key=${pub},sign-method=RS256`],
  });
  const client = new GrpcClient(cluster.endpoints[0]!.replace("http://", ""));
  try {
    await enableAuth(client);
    await assert.rejects(tokenOf(client, "ann"), { message: "token signing attempted with verify-only key" });
    // Seven changes of `enableAuth`, and the first revision is 1.
    const of = (revision: number) => maker.sign({ username: "ann", revision }, Date.now());
    await put(client, await of(8), "app/x");
    await assert.rejects(put(client, await of(7), "app/x"), { message: "etcdserver: revision of auth store is old" });
  } finally {
    client.close();
    await cluster.close();
  }
});

describe.skipIf(!etcd)("beside Debian's etcd with the same keys", () => {
  const rows: [method: string, key: "rsa" | "ec" | "secret"][] = [
    ["RS256", "rsa"],
    ["PS384", "rsa"],
    ["ES256", "ec"],
    ["HS512", "secret"],
  ];
  const files = { rsa: keyFiles("rsa"), ec: keyFiles("ec"), secret: { pub: join(dir, "s"), priv: join(dir, "s") } };
  writeFileSync(files.secret.priv, "a secret that both sides know");

  for (const [method, key] of rows) {
    test(`${method}: a token of theirs is ours, and ours is theirs`, async () => {
      const { pub, priv } = files[key];
      const flags = [
        "--bcrypt-cost=4",
        `--auth-token=jwt,pub-key=${pub},priv-key=${priv},sign-method=${method},ttl=1h`,
      ];
      const stores = [await startEtcd(etcd!, flags)];
      try {
        const cluster = await startProcessCluster(1, { flags });
        stores.push({ endpoint: cluster.endpoints[0]!, close: () => cluster.close() });
        const clients = stores.map(({ endpoint }) => new GrpcClient(endpoint.replace("http://", "")));
        try {
          for (const client of clients) await enableAuth(client);
          const tokens = await Promise.all(clients.map((client) => tokenOf(client, "ann")));
          for (const client of clients) {
            for (const token of tokens) await put(client, token, "app/x");
            await assert.rejects(put(client, tokens[0]!, "no"), { message: "etcdserver: permission denied" });
          }
        } finally {
          for (const client of clients) client.close();
        }
      } finally {
        for (const store of stores) await store.close();
      }
    });
  }
});
