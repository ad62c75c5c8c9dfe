import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EtcdClient } from "../../etcd-raft/client/client.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { readTls } from "../../net/tls.ts";
import { MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import { eventually, TestLab } from "../testing/lab.ts";

/** Kill -9 of raft members under a constant stream of writes from outside, against the members' own addresses. */
describe("the store under failures", () => {
  const lab = new TestLab("failover");
  let etcd: EtcdClient;
  let endpoints: string[];

  const tls = () => {
    const file = (name: string) => join(lab.dir, "certs", "etcd", name);
    return readTls({ certFile: file("client.crt"), keyFile: file("client.key"), caFile: file("ca.crt") });
  };

  beforeAll(async () => {
    await lab.up("--nodes", "0");
    endpoints = (await lab.status()).members.map(({ clientUrl }) => clientUrl);
    etcd = new EtcdClient({ endpoints, tls: tls() });
  });

  afterAll(async () => {
    etcd?.close();
    await lab.remove();
  });

  /** Writes numbered keys, several at a time, and keeps which were acknowledged. */
  class Writes {
    readonly acknowledged = new Set<string>();
    readonly #prefix: string;
    #next = 0;
    #stopping = false;
    readonly #done: Promise<unknown>;

    constructor(prefix: string) {
      this.#prefix = prefix;
      this.#done = Promise.all(Array.from({ length: 8 }, () => this.#write()));
    }

    async #write(): Promise<void> {
      while (!this.#stopping) {
        const key = `${this.#prefix}${this.#next++}`;
        try {
          await etcd.put({ key, value: key }, { timeoutMs: 2000 });
          this.acknowledged.add(key);
        } catch {} // unknown whether it happened: promises nothing
      }
    }

    /** More acknowledged writes than before, by this many. */
    async more(count: number): Promise<void> {
      const before = this.acknowledged.size;
      await eventually(`${count} more acknowledged writes`, () => this.acknowledged.size >= before + count);
    }

    async stop(): Promise<void> {
      this.#stopping = true;
      await this.#done;
    }
  }

  async function missing(prefix: string, writes: Writes): Promise<string[]> {
    const { kvs } = await etcd.range({ key: prefix, rangeEnd: `${prefix}~` });
    const there = new Set(kvs.map(({ key }) => Buffer.from(key).toString()));
    return [...writes.acknowledged].filter((key) => !there.has(key));
  }

  /** The same revision and the same hash of all keys on every member. */
  async function untilAllAlike(): Promise<void> {
    const clients = endpoints.map((url) => new GrpcClient(new URL(url).host, { tls: tls() }));
    try {
      await eventually("three members alike", async () => {
        const { header } = await etcd.range({ key: "a" });
        const revision = header!.revision;
        const hashes = await Promise.all(
          clients.map((client) => client.unary(MaintenanceService.HashKV, { revision }, { timeoutMs: 1000 })),
        );
        const distinct = new Set(hashes.map(({ hash, compactRevision }) => `${hash} ${compactRevision}`));
        return distinct.size === 1 && hashes.every((each) => each.header!.revision >= revision);
      });
    } finally {
      for (const client of clients) client.close();
    }
  }

  test("kill -9 of the leader: writes go on, none acknowledged is lost, and the killed member catches up", async () => {
    const writes = new Writes("leader/");
    await writes.more(200);
    const old = (await lab.status()).members.find(({ role }) => role === "leader")!.name;
    await lab.must("kill", "leader");
    await writes.more(200);
    const now = (await lab.status()).members;
    expect(now.find(({ name }) => name === old)).toMatchObject({ role: "down", pid: null });
    expect(now.filter(({ role }) => role === "leader")).toHaveLength(1);
    await eventually("both survivors say why there is another leader", async () => {
      const survivors = (await lab.status()).members.filter(({ name }) => name !== old);
      const why = new RegExp(`^etcd-\\d leads in term \\d+; before: lost the leader ${old}: .`);
      return survivors.every(({ lastLeaderChange }) => why.test(lastLeaderChange?.message ?? ""));
    });
    expect(await lab.must("status")).toMatch(new RegExp(`before: lost the leader ${old}: `));
    // The killed member's own history outlives it.
    expect(await lab.must("status", "--events")).toMatch(new RegExp(`${old}: was candidate, is leader in term`));
    await lab.must("start", old);
    await writes.more(200);
    await writes.stop();
    expect(await missing("leader/", writes)).toEqual([]);
    await untilAllAlike();
  });

  test("all members killed at once and started again: nothing acknowledged is lost", async () => {
    const writes = new Writes("all/");
    await writes.more(200);
    const { members } = await lab.status();
    for (const { pid } of members) process.kill(pid!, "SIGKILL");
    await eventually("new processes", async () =>
      (await lab.status()).members.every(({ pid }, i) => pid !== null && pid !== members[i]!.pid),
    );
    await writes.more(200);
    await writes.stop();
    expect(await missing("all/", writes)).toEqual([]);
    await untilAllAlike();
  });
});
