import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SupervisorClient } from "../../cli/supervisor-client.ts";
import { EtcdClient } from "../../etcd-raft/client/client.ts";
import { within } from "../../etcd-raft/server/testing.ts";
import { GrpcClient } from "../../net/grpc-client.ts";
import { readTls } from "../../net/tls.ts";
import { KVService, MaintenanceService } from "../../proto/generated/etcdserverpb.ts";
import type { LabEvent } from "../supervisor/events.ts";
import { foreignStore, TestLab } from "../testing/lab.ts";

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
    #told = () => {};
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
          this.#told();
        } catch {} // unknown whether it happened: promises nothing
      }
    }

    /** More acknowledged writes than before, by this many. */
    async more(count: number): Promise<void> {
      const wanted = this.acknowledged.size + count;
      await within<void>(60_000, `${count} more acknowledged writes`, (found) => {
        this.#told = () => this.acknowledged.size >= wanted && found();
      });
    }

    async stop(): Promise<void> {
      this.#stopping = true;
      await this.#done;
    }
  }

  const supervisor = () => new SupervisorClient(join(lab.dir, "run", "supervisor.sock"));

  /** Resolves when the lab has told something that `fits` of each of `subjects`, after its first `from` events. */
  async function told(
    what: string,
    subjects: string[],
    from: number,
    fits: (event: LabEvent) => boolean,
  ): Promise<void> {
    const missing = new Set(subjects);
    await within<void>(60_000, what, async (found) => {
      let at = 0;
      for await (const event of supervisor().events()) {
        if (at++ < from || !fits(event)) continue;
        missing.delete(event.subject);
        if (missing.size === 0) return found();
      }
    });
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
      const { revision } = (await etcd.range({ key: "a" })).header!;
      const hashes = await Promise.all(
        clients.map(async (client) => {
          await client.ready(60_000);
          await client.unary(KVService.Range, { key: Buffer.from("a") }, { timeoutMs: 60_000 }); // as far as the others
          return client.unary(MaintenanceService.HashKV, { revision }, { timeoutMs: 10_000 });
        }),
      );
      const distinct = new Set(hashes.map(({ hash, compactRevision }) => `${hash} ${compactRevision}`));
      expect([...distinct]).toHaveLength(1);
    } finally {
      for (const client of clients) client.close();
    }
  }

  test("kill -9 of the leader: writes go on, none acknowledged is lost, and the killed member catches up", async () => {
    const writes = new Writes("leader/");
    await writes.more(200);
    const old = (await lab.status()).members.find(({ role }) => role === "leader")!.name;
    const before = (await supervisor().eventsSoFar()).length;
    await lab.must("kill", "leader");
    await writes.more(200);
    const now = (await lab.status()).members;
    expect(now.find(({ name }) => name === old)).toMatchObject({ role: "down", pid: null });
    expect(now.filter(({ role }) => role === "leader")).toHaveLength(1);
    const survivors = now.map(({ name }) => name).filter((name) => name !== old);
    await told("both survivors know another leader", survivors, before, ({ details }) => {
      return (details as { kind?: string }).kind === "LeaderFound";
    });
    const [id, member] = ["raft.node: \\w+", "\\w{8,}"]; // of another program: what its log has
    const [why, lost, history] = foreignStore
      ? [
          `^${id} (elected|changed) leader .* at term \\d+`,
          `before: ${id} lost leader ${member} at term`,
          "became leader",
        ]
      : [
          `^etcd-\\d leads in term \\d+; before: lost the leader ${old}: .`,
          `before: lost the leader ${old}: `,
          "was candidate, is leader",
        ];
    for (const { name, lastLeaderChange } of (await lab.status()).members)
      if (name !== old) expect(lastLeaderChange?.message).toMatch(new RegExp(why!));
    expect(await lab.must("status")).toMatch(new RegExp(lost!));
    // The killed member's own history outlives it.
    expect(await lab.must("timeline")).toMatch(new RegExp(`${old}: .*${history} (in|at) term`));
    const kept = await lab.must("history", "list", "namespace", "default");
    expect(kept).toMatch(/^revisions 1 to \d+ are kept\n\d+ +created/);
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
    const before = (await supervisor().eventsSoFar()).length;
    for (const { pid } of members) process.kill(pid!, "SIGKILL");
    const names = members.map(({ name }) => name);
    await told("three new processes", names, before, ({ type }) => type === "Spawned");
    for (const [i, { pid }] of (await lab.status()).members.entries()) expect(pid).not.toBe(members[i]!.pid);
    await writes.more(200);
    await writes.stop();
    expect(await missing("all/", writes)).toEqual([]);
    await untilAllAlike();
  });
});
