import { type Clock, sleep } from "../../base/clock.ts";
import { seededRand } from "../../base/rand.ts";
import { type Deed, type Facts, keyOf, type Plan, planFault } from "./plan.ts";
import { FaultRefused, type FaultReport, type FaultRequest, faultProblems, type HealReport } from "./types.ts";

/** What the desk lets be done; all of it may be asked for twice. `undo` of what is gone already does nothing. */
export interface Hands {
  /** `about`: the texts of the request. What takes time (who leads, what the kernel can) is found out only if named there. */
  facts(about: string): Promise<Facts>;
  /** Resolves to what is to be said beyond the plan's message. */
  act(deed: Deed): Promise<string | undefined>;
  undo(deed: Deed): Promise<void>;
  /** The wall clock as `up` counts it. */
  stamp(): Pick<FaultReport, "atMs" | "time" | "monotonicMs">;
  tell(type: "Fault" | "Healed", report: FaultReport | HealReport): void;
}

interface Active {
  report: FaultReport;
  plan: Plan;
  /** Of `flap`: whether it is cut now. */
  on: boolean;
  over: AbortController;
}

/** Keeps what was done to a lab, so that it can be undone. */
export class FaultDesk {
  readonly #hands: Hands;
  readonly #clock: Clock;
  readonly #drawSeed: () => number;
  readonly #active = new Map<string, Active>();
  #last = 0;

  constructor(hands: Hands, clock: Clock, drawSeed: () => number) {
    this.#hands = hands;
    this.#clock = clock;
    this.#drawSeed = drawSeed;
  }

  /** Throws FaultRefused; what had been done until then is undone. */
  async fault(asked: Record<string, unknown>): Promise<FaultReport> {
    const problems = faultProblems(asked);
    if (problems.length > 0) throw new FaultRefused(problems.join("; "));
    await this.list(); // who was killed and started by hand may be killed again, and healed
    const request = { ...asked, seed: asked["seed"] ?? this.#drawSeed() } as FaultRequest;
    const plan = planFault(request, await this.#hands.facts(JSON.stringify(asked)), seededRand(request.seed!));
    const said = await this.#doAll(plan.deeds);
    const report: FaultReport = {
      ...{ id: `f${++this.#last}`, kind: request.fault, request },
      ...{ targets: plan.targets, peers: plan.peers, mechanism: plan.mechanism },
      message: [plan.message, ...new Set(said)].join("; "),
      undo: plan.undo,
      ...this.#hands.stamp(),
    };
    const active: Active = { report, plan, on: true, over: new AbortController() };
    if (plan.undo !== null) this.#active.set(report.id, active);
    if (plan.period !== undefined) void this.#flap(active, plan.period);
    this.#hands.tell("Fault", report);
    return report;
  }

  /** Those that can still be undone, and whose processes were not started or woken meanwhile. */
  async list(): Promise<FaultReport[]> {
    const { running } = await this.#hands.facts("");
    for (const [id, { plan }] of this.#active)
      if (plan.mechanism === "signal" && plan.deeds.flatMap(processesOf).every(running)) this.#active.delete(id);
    return [...this.#active.values()].map(({ report }) => report);
  }

  /** One, or all, the last first. What cannot be undone any more is said in the report of it. */
  async heal(id?: string): Promise<HealReport[]> {
    await this.list();
    if (id !== undefined && !this.#active.has(id))
      throw new FaultRefused(`no fault ${id} is active; there are: ${[...this.#active.keys()].join(", ") || "none"}`);
    const healed = id === undefined ? [...this.#active.values()].reverse() : [this.#active.get(id)!];
    const reports: HealReport[] = [];
    for (const active of healed) {
      const { id, kind, targets, undo } = active.report;
      this.#active.delete(id);
      active.over.abort();
      const failures = active.on ? await this.#undoAll(active.plan.deeds) : [];
      const report = { id, kind, targets, message: failures.length === 0 ? undo! : failures.join("; ") };
      reports.push(report);
      this.#hands.tell("Healed", report);
    }
    return reports;
  }

  /** A process or its node is there again: what was done to the one before is done to this one. */
  async reborn(process: string): Promise<void> {
    for (const { plan, on, over } of this.#active.values()) {
      if (!on) continue;
      for (const deed of plan.deeds) {
        const isPlace = "place" in deed && [deed.place, `${deed.place}/runtime`].includes(process); // once a place
        if (!isPlace && !(deed.type === "Hook" && deed.process === process)) continue;
        for (let tries = 0; tries < 200 && !over.signal.aborted; tries++) {
          const done = await this.#hands.act(deed).then(
            (said) => said === undefined,
            () => false,
          );
          if (done) break;
          await sleep(this.#clock, 25, over.signal);
        }
        if (over.signal.aborted) await this.#undoAll([deed]);
      }
    }
  }

  async #doAll(deeds: readonly Deed[]): Promise<string[]> {
    const results = await Promise.allSettled(deeds.map((deed) => this.#hands.act(deed)));
    const failed = results.find((result) => result.status === "rejected");
    if (failed === undefined) return results.flatMap((result) => (result as { value?: string }).value ?? []);
    await this.#undoAll(deeds.filter((_, i) => results[i]!.status === "fulfilled"));
    throw new FaultRefused((failed.reason as Error).message);
  }

  async #undoAll(deeds: readonly Deed[]): Promise<string[]> {
    const needed = new Set(
      [...this.#active.values()].filter(({ on }) => on).flatMap(({ plan }) => plan.deeds.map((deed) => keyOf(deed))),
    );
    const mine = deeds.filter((deed) => !needed.has(keyOf(deed)));
    const results = await Promise.allSettled(mine.map((deed) => this.#hands.undo(deed)));
    return results.flatMap((result) => (result.status === "rejected" ? [(result.reason as Error).message] : []));
  }

  async #flap(active: Active, { onMs, offMs }: { onMs: number; offMs: number }): Promise<void> {
    const { signal } = active.over;
    const { deeds } = active.plan;
    for (;;) {
      await sleep(this.#clock, active.on ? onMs : offMs, signal);
      if (signal.aborted) return;
      active.on = !active.on;
      await (active.on ? this.#doAll(deeds) : this.#undoAll(deeds)).catch(() => {}); // a place is gone: the next turn
      if (signal.aborted && active.on) await this.#undoAll(deeds); // healed while it was being done
    }
  }
}

function processesOf(deed: Deed): string[] {
  return deed.type === "PullPlug" ? deed.processes : "process" in deed ? [deed.process] : [];
}
