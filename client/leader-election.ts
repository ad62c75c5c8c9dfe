import { setMaxListeners } from "node:events";
import type { Lease, LeaseSpec } from "../api/generated/coordination-v1.ts";
import { Leases } from "../api/generated/resources.ts";
import { isAlreadyExists, isConflict, isNotFound, StatusError } from "../apimachinery/status.ts";
import { formatMicroTime } from "../apimachinery/time.ts";
import { sleep } from "../base/clock.ts";
import { FlagError, type Flags } from "../base/flags.ts";
import type { Rand } from "../base/rand.ts";
import { Backoff } from "./backoff.ts";
import type { Parts } from "./types.ts";

export interface LeaderElectionOptions extends Parts {
  namespace: string; // the Lease that all candidates contend for, such as kube-system/kube-scheduler
  name: string;
  identity: string; // unique among the candidates: upstream takes the host name, `_`, and a UUID
  /** How long others wait after the holder's last renewal that they saw before they take over. */
  leaseDurationMs?: number;
  /** A holder that has not managed to renew for this long stops leading. Less than the duration. */
  renewDeadlineMs?: number;
  retryPeriodMs?: number;
  rand: Rand;
}

/**
 * Runs `lead` while this process holds the Lease (client-go's `tools/leaderelection`, KEP-589). Returns when `signal`
 * aborts and `lead` has returned, with the Lease given back; throws when leadership is lost, upon which the process
 * should end, as `lead` may be in the midst of anything.
 *
 * Times of other machines are never compared: a candidate measures on its own clock how long it has seen the same
 * record. With renewDeadline < leaseDuration and clocks that run at nearly the same speed, at most one leads.
 */
export async function runAsLeader(
  options: LeaderElectionOptions,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const elector = new Elector(options);
  const { clock, rand, log, identity, retryPeriodMs = 2000 } = options;
  const lease = `${options.namespace}/${options.name}`;
  log.info({ lease, identity }, `Attempting to acquire leader lease ${lease}...`);
  const backoff = new Backoff(rand, { maxMs: retryPeriodMs });
  for (let outcome = await elector.tryAcquireOrRenew(signal); outcome !== "leads"; ) {
    // Differs: a server that is not there yet is asked sooner, as then nobody holds us off but the start of the cluster;
    // and a Lease is looked at when it runs out, not up to a retry period later.
    const retryMs = retryPeriodMs * (1 + rand.next() * jitterFactor);
    const waitMs = outcome === "held" ? Math.min(retryMs, elector.runsOutInMs()) : backoff.nextMs();
    await sleep(clock, waitMs, signal);
    if (signal.aborted) return;
    outcome = await elector.tryAcquireOrRenew(signal);
  }
  log.info({ lease, identity }, `Successfully acquired lease ${lease}`);

  const leading = new AbortController();
  setMaxListeners(0, leading.signal); // each call under way listens
  const stop = () => leading.abort();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  let leadEnded = false;
  const work = lead(leading.signal).finally(() => {
    leadEnded = true;
    stop();
  });
  work.catch(() => {}); // told below
  const kept = await renew(elector, options, leading.signal);
  if (!kept && !leadEnded) {
    stop();
    throw new Error(`failed to renew lease ${lease}: leaderelection lost`);
  }
  await work;
  await elector.release();
}

const jitterFactor = 1.2;

/** True when asked to stop, false when the lease was lost. */
async function renew(elector: Elector, options: LeaderElectionOptions, signal: AbortSignal): Promise<boolean> {
  const { clock, retryPeriodMs = 2000, renewDeadlineMs = 10_000 } = options;
  let renewedAt = clock.monotonic();
  while (!signal.aborted) {
    await sleep(clock, retryPeriodMs, signal);
    if (signal.aborted) return true;
    const timeoutMs = Math.max(1, renewDeadlineMs - (clock.monotonic() - renewedAt));
    // By our own clock: an answer that comes too late is no answer, whatever the transport thinks.
    const inTime = new AbortController();
    const tooLate = sleep(clock, timeoutMs, inTime.signal);
    const outcome = await Promise.race([elector.tryAcquireOrRenew(signal, timeoutMs), tooLate]);
    inTime.abort();
    if (outcome === "leads") renewedAt = clock.monotonic();
    else if (!signal.aborted && clock.monotonic() - renewedAt >= renewDeadlineMs) return false;
  }
  return true;
}

/** For the `main` of each process that elects a leader; upstream's names and defaults. */
export const leaderElectionFlags = {
  "leader-elect": { type: "boolean", default: true, help: "Take part in leader election before doing anything" },
  "leader-elect-lease-duration": { type: "duration", default: 15_000, help: "Wait this long after a silent leader" },
  "leader-elect-renew-deadline": { type: "duration", default: 10_000, help: "Stop leading after this long unrenewed" },
  "leader-elect-retry-period": { type: "duration", default: 2000, help: "Time between tries to acquire or renew" },
} as const;

export function leaderElectionTimings(
  flags: Flags<typeof leaderElectionFlags>,
): Required<Pick<LeaderElectionOptions, "leaseDurationMs" | "renewDeadlineMs" | "retryPeriodMs">> {
  const leaseDurationMs = flags["leader-elect-lease-duration"];
  const renewDeadlineMs = flags["leader-elect-renew-deadline"];
  const retryPeriodMs = flags["leader-elect-retry-period"];
  if (leaseDurationMs <= renewDeadlineMs) throw new FlagError("leaseDuration must be greater than renewDeadline");
  if (renewDeadlineMs <= jitterFactor * retryPeriodMs)
    throw new FlagError("renewDeadline must be greater than retryPeriod*JitterFactor");
  return { leaseDurationMs, renewDeadlineMs, retryPeriodMs };
}

class Elector {
  readonly #options: LeaderElectionOptions;
  #observed: Lease | undefined;
  #observedAt = 0;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
  }

  /** `failed`: the server could not be asked, or someone was faster; the next try finds out. `timeoutMs` bounds a renewal, which is one call. */
  async tryAcquireOrRenew(signal: AbortSignal, timeoutMs?: number): Promise<"leads" | "held" | "failed"> {
    const { client, namespace, name, log } = this.#options;
    const callOptions = { signal, ...(timeoutMs !== undefined && { timeoutMs }) };
    try {
      let lease = this.#observed;
      if (lease === undefined || !this.#isMine(lease)) {
        try {
          lease = await client.get(Leases, { namespace, name }, callOptions);
        } catch (error) {
          if (!isNotFound(error)) throw error;
          const fresh = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { namespace, name } };
          this.#see(await client.create(Leases, { ...fresh, spec: this.#spec(undefined) }, callOptions));
          return "leads";
        }
        if (this.#observed?.metadata.resourceVersion !== lease.metadata.resourceVersion) this.#see(lease);
        if (this.#heldByOther(lease)) return "held";
      }
      this.#see(await client.update(Leases, { ...lease, spec: this.#spec(lease.spec) }, callOptions));
      return "leads";
    } catch (err) {
      if (!(err instanceof StatusError)) throw err;
      if (isConflict(err) || isAlreadyExists(err) || isNotFound(err)) this.#observed = undefined;
      else log.warn({ err, lease: name }, "Error retrieving or updating the lease");
      return "failed";
    }
  }

  /** Lets the next one in at once, instead of after the lease duration. */
  async release(): Promise<void> {
    const { client, log } = this.#options;
    const lease = this.#observed;
    if (lease === undefined || !this.#isMine(lease)) return;
    const spec = { ...this.#spec(lease.spec), holderIdentity: "", leaseDurationSeconds: 1 };
    try {
      await client.update(Leases, { ...lease, spec }, { timeoutMs: 1000 });
    } catch (err) {
      if (!(err instanceof StatusError)) throw err;
      log.warn({ err }, "Failed to release the lease");
    }
  }

  /** The holder's own duration counts: a released Lease says one second, and processes may differ in flags. */
  runsOutInMs(): number {
    const elapsedMs = this.#options.clock.monotonic() - this.#observedAt;
    return (this.#observed?.spec.leaseDurationSeconds ?? 0) * 1000 - elapsedMs;
  }

  #see(lease: Lease): void {
    this.#observed = lease;
    this.#observedAt = this.#options.clock.monotonic();
  }

  #heldByOther(lease: Lease): boolean {
    if (!lease.spec.holderIdentity || this.#isMine(lease)) return false;
    return this.runsOutInMs() > 0;
  }

  #isMine(lease: Lease): boolean {
    return lease.spec.holderIdentity === this.#options.identity;
  }

  #spec(old: LeaseSpec | undefined): LeaseSpec {
    const { clock, identity, leaseDurationMs = 15_000 } = this.#options;
    const now = formatMicroTime(clock.now());
    const same = old?.holderIdentity === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.max(1, Math.ceil(leaseDurationMs / 1000)),
      acquireTime: same && old.acquireTime !== undefined ? old.acquireTime : now,
      renewTime: now,
      leaseTransitions: old === undefined ? 0 : (old.leaseTransitions ?? 0) + (same ? 0 : 1),
    };
  }
}
