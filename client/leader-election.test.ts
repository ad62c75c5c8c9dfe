import { afterEach, describe, expect, test } from "vitest";
import { Leases } from "../api/generated/resources.ts";
import { silentLogger } from "../base/logger.ts";
import { seededRand } from "../base/rand.ts";
import { runAsLeader } from "./leader-election.ts";
import { MemoryApi } from "./testing/memory-api.ts";
import { settle, VirtualClock } from "./testing/virtual-clock.ts";

const key = { namespace: "kube-system", name: "scheduler" };

class Candidate {
  leads = false;
  ended: Promise<string>;
  readonly #controller = new AbortController();

  constructor(api: MemoryApi, clock: VirtualClock, identity: string) {
    const options = { client: api, ...key, identity, clock, rand: seededRand(1), log: silentLogger };
    this.ended = runAsLeader(options, this.#controller.signal, async (signal) => {
      this.leads = true;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      this.leads = false;
    }).then(
      () => "stopped",
      (error: Error) => error.message,
    );
    candidates.push(this);
  }

  stop(): void {
    this.#controller.abort();
  }
}

const candidates: Candidate[] = [];
afterEach(() => {
  for (const candidate of candidates.splice(0)) candidate.stop();
});

async function setUp() {
  const clock = new VirtualClock();
  const api = new MemoryApi(clock);
  const first = new Candidate(api, clock, "first");
  await clock.advance(1);
  const second = new Candidate(api, clock, "second");
  await clock.advance(1);
  return { clock, api, first, second };
}

/** What this candidate writes never arrives, and it hears nothing back. */
function cutOff(api: MemoryApi, identity: string): void {
  const update = api.update.bind(api);
  api.update = async (type, object, options) => {
    const { holderIdentity } = (object as unknown as { spec: { holderIdentity: string } }).spec;
    return holderIdentity === identity ? new Promise<never>(() => {}) : update(type, object, options);
  };
}

describe("Leader election", () => {
  test("one of two leads, and goes on leading", async () => {
    const { clock, api, first, second } = await setUp();
    await clock.advance(60_000);
    expect([first.leads, second.leads]).toEqual([true, false]);
    expect((await api.get(Leases, key)).spec).toEqual({
      holderIdentity: "first",
      leaseDurationSeconds: 15,
      acquireTime: "2026-01-01T00:00:00.000000Z",
      renewTime: "2026-01-01T00:01:00.000000Z",
      leaseTransitions: 0,
    });
  });

  test("the first one leads soon after the server has come", async () => {
    const clock = new VirtualClock();
    const api = new MemoryApi(clock);
    api.goDown(true);
    const only = new Candidate(api, clock, "only");
    await clock.advance(300);
    api.goDown(false);
    await clock.advance(800);
    expect(only.leads).toBe(true);
  });

  test("a leader that stops in order gives the Lease back: the next one need not wait", async () => {
    const { clock, api, first, second } = await setUp();
    first.stop();
    expect(await first.ended).toBe("stopped");
    await clock.advance(2000 * 2.2 + 1000);
    expect(second.leads).toBe(true);
    expect((await api.get(Leases, key)).spec).toMatchObject({ holderIdentity: "second", leaseTransitions: 1 });
  });

  test("a Lease whose holder has died is taken when it runs out", async () => {
    const { clock, api, first, second } = await setUp();
    cutOff(api, "first");
    await clock.advance(15_000 - 10);
    expect(second.leads).toBe(false);
    await clock.advance(10);
    expect([first.leads, second.leads]).toEqual([false, true]);
  });

  test("a leader that cannot renew stops leading before another one starts", async () => {
    const { clock, api, first, second } = await setUp();
    cutOff(api, "first");
    const both: boolean[] = [];
    for (let i = 0; i < 40; i++) {
      await clock.advance(1000);
      both.push(first.leads && second.leads);
    }
    expect(both).not.toContain(true);
    expect(second.leads).toBe(true);
  });

  test("one whose Lease another has taken says that leadership is lost", async () => {
    const { clock, api, first } = await setUp();
    const lease = await api.get(Leases, key);
    await api.update(Leases, { ...lease, spec: { ...lease.spec, holderIdentity: "usurper" } });
    await clock.advance(15_000);
    await settle();
    expect(await first.ended).toBe("failed to renew lease kube-system/scheduler: leaderelection lost");
  });
});
