import { type Clock, sleep } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { Rand } from "../../base/rand.ts";
import type { ClientConfig, Webhooks } from "../webhook-client.ts";
import type { AuditSink } from "./audit.ts";

export interface BatchOptions {
  /** Events that may wait; more are dropped. */
  bufferSize: number;
  /** A batch goes when it has so many events, or after so long. */
  maxSize: number;
  maxWaitMs: number;
  /** Batches a second on average, and at once. */
  qps: number;
  burst: number;
}

type Delivery = { clock: Clock; deliver(lines: string[]): Promise<void>; dropped(): void };

/** Batches that are handed over, or tried again, at once. Differs: upstream has no bound. */
const maxUnderway = 250;

/** Hands lines over in batches. Source: k8s.io/apiserver/plugin/pkg/audit/buffered. */
export class Batches {
  readonly #options: BatchOptions & Delivery;
  readonly #underway = new Set<Promise<void>>();
  readonly #waiting: string[] = [];
  #timer: (() => void) | undefined;
  /** When the batches so far would have gone at `qps`. */
  #paidUntil = Number.NEGATIVE_INFINITY;

  constructor(options: BatchOptions & Delivery) {
    this.#options = options;
  }

  write(line: string): void {
    const { bufferSize, maxSize, maxWaitMs, clock, dropped } = this.#options;
    const isFull = this.#waiting.length >= bufferSize || this.#underway.size >= maxUnderway;
    if (isFull) dropped();
    else if (this.#waiting.push(line) === maxSize) this.#go();
    else this.#timer ??= clock.after(maxWaitMs, () => this.#go());
  }

  /** All that waits goes at once; resolves when nothing is underway. */
  async close(): Promise<void> {
    this.#timer?.();
    while (this.#waiting.length > 0) this.#send();
    await Promise.all(this.#underway);
  }

  #go(): void {
    this.#timer?.();
    const { maxSize, maxWaitMs, qps, burst, clock } = this.#options;
    const now = clock.monotonic();
    let pause = this.#paidUntil - now;
    if (pause <= 0) {
      this.#paidUntil = Math.max(this.#paidUntil, now - (burst * 1000) / qps) + 1000 / qps;
      this.#send();
      pause = this.#waiting.length < maxSize ? maxWaitMs : 0;
    }
    this.#timer = this.#waiting.length > 0 ? clock.after(pause, () => this.#go()) : undefined;
  }

  #send(): void {
    const sent = this.#options.deliver(this.#waiting.splice(0, this.#options.maxSize));
    this.#underway.add(sent);
    void sent.finally(() => this.#underway.delete(sent));
  }
}

export interface AuditWebhookOptions {
  config: ClientConfig;
  mode: string;
  initialBackoffMs: number;
  batch: BatchOptions;
}

type Around = { clock: Clock; log: Logger; rand: Rand; post: Webhooks["post"] };

/**
 * Events as EventLists of audit.k8s.io/v1 to another server: in batches, or each before its request goes on (`blocking`).
 * Source: k8s.io/apiserver/plugin/pkg/audit/webhook.
 */
export function auditWebhook(options: AuditWebhookOptions, { clock, log, rand, post }: Around): AuditSink {
  const { config, mode, initialBackoffMs, batch } = options;
  const closing = new AbortController();
  const { signal } = closing;
  const failed = (lines: number, err: unknown) =>
    log.error({ err }, `Error in audit plugin 'webhook' affecting ${lines} audit events`);
  async function deliver(lines: string[]): Promise<void> {
    const body = `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[${lines.join()}]}`;
    for (let pause = initialBackoffMs, tries = 1; ; pause *= 1.5, tries++) {
      try {
        return void (await post(config, body, timeoutSeconds));
      } catch (err) {
        if (tries === maxTries || signal.aborted) return failed(lines.length, err);
      }
      await sleep(clock, pause * (1 + rand.next() * 0.2), signal);
    }
  }
  const batches = new Batches({ ...batch, clock, deliver, dropped: () => failed(1, new Error("the buffer is full")) });
  return {
    write: (line: string) => (mode === "batch" ? batches.write(line) : deliver([line])),
    /** What waits and what failed is tried once more. */
    close() {
      closing.abort();
      return batches.close();
    },
  };
}

const maxTries = 5;
const timeoutSeconds = 30;
