import { isDeepStrictEqual } from "node:util";
import type { Node, NodeCondition } from "../api/generated/core-v1.ts";
import { Nodes } from "../api/generated/resources.ts";
import { ignoring, isAlreadyExists, isNotFound } from "../apimachinery/status.ts";
import { sleep } from "../base/clock.ts";
import type { Parts } from "../client/types.ts";
import type { CriRuntime } from "./cri-runtime.ts";
import type { Resources } from "./machine.ts";
import { datedConditions, machineStatus, type NodeFacts, newNode, nodeConditions, nodeLabels } from "./node-status.ts";

export interface RegistrarOptions extends Parts {
  runtime: Pick<CriRuntime, "version" | "conditions" | "setPodCidr">;
  facts: Omit<NodeFacts, "runtime">;
  heartbeatMs: number;
  /** A runtime that is restarted is away for a moment: the node is called NotReady only after this. */
  runtimeGraceMs: number;
  readResources(): Resources;
}

/** How often runtime and machine are looked at; only changes and heartbeats are posted. */
const checkMs = 1000;
/** The same while something is missing. */
const impatientMs = 100;

/**
 * Registers this machine as a Node and keeps its status true: conditions are posted at once when one changes and every
 * `heartbeatMs`. When the controller-manager has given the node its Pod range, the runtime is told; the node is Ready
 * once the runtime says that its network is.
 */
export class NodeRegistrar {
  /** Resolves with the Node once it is registered. */
  readonly registered: Promise<Node>;
  #resolveRegistered!: (node: Node) => void;
  readonly #options: RegistrarOptions;
  #node: Node | undefined;
  #podCidr: string | undefined;
  #told: string | undefined;
  #posted: { conditions: NodeCondition[]; status: unknown; atMs: number } | undefined;
  #runtimeAnswers = false;
  #answeredAtMs: number;
  #wake = new AbortController();

  constructor(options: RegistrarOptions) {
    this.#options = options;
    this.#answeredAtMs = options.clock.monotonic();
    this.registered = new Promise((resolve) => {
      this.#resolveRegistered = resolve;
    });
  }

  get isReady(): boolean {
    return this.#posted?.conditions.find(({ type }) => type === "Ready")?.status === "True";
  }

  /** The Node as the watch shows it. */
  observe(node: Node): void {
    this.#node = node;
    if (node.spec?.podCIDR === this.#podCidr) return;
    this.#podCidr = node.spec?.podCIDR;
    this.check();
  }

  /** Looks at runtime and machine now. */
  check(): void {
    this.#wake.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    signal.addEventListener("abort", () => this.check());
    for (let failures = 0; !signal.aborted; ) {
      this.#wake = new AbortController();
      try {
        await this.#sync();
        failures = 0;
        await sleep(clock, this.isReady && this.#runtimeAnswers ? checkMs : impatientMs, this.#wake.signal);
      } catch (err) {
        if (isNotFound(err)) {
          // Differs: upstream registers only at its start; here a Node deleted by mistake comes back.
          this.#node = undefined;
          this.#posted = undefined;
          this.#podCidr = undefined; // the new one gets a range of its own
        }
        log.warn({ err }, "Unable to register or update the node, trying again");
        await sleep(clock, Math.min(50 * 2 ** failures++, 2000), signal);
      }
    }
  }

  async #sync(): Promise<void> {
    const { client, clock, log, runtime, facts, heartbeatMs, runtimeGraceMs, readResources } = this.#options;
    const version = await runtime.version().catch(() => undefined);
    const all: NodeFacts = { ...facts, runtime: version ?? { name: "unknown", version: "unknown" } };
    const answer = await this.#runtimeConditions();
    this.#runtimeAnswers = answer !== undefined;
    if (answer !== undefined) this.#answeredAtMs = clock.monotonic();
    const key = { name: facts.name };
    if (this.#node === undefined) {
      this.#node = await this.#register(all);
      this.#podCidr ??= this.#node.spec?.podCIDR;
      this.#resolveRegistered(this.#node);
      log.info({ node: facts.name }, "Successfully registered node");
      this.check();
      return;
    }
    if (answer === undefined && clock.monotonic() - this.#answeredAtMs < runtimeGraceMs) return;
    const conditions = nodeConditions({ resources: readResources(), podCidr: this.#podCidr, runtime: answer });
    const status = machineStatus(all);
    const nowMs = clock.now();
    const due =
      this.#posted === undefined ||
      clock.monotonic() - this.#posted.atMs >= heartbeatMs ||
      !isDeepStrictEqual(this.#posted.conditions, conditions) ||
      !isDeepStrictEqual(this.#posted.status, status);
    if (!due) return;
    const wasReady = this.isReady;
    const dated = datedConditions(conditions, this.#node.status?.conditions ?? [], nowMs);
    const body = { status: { ...(version !== undefined && status), conditions: dated } };
    this.#node = await client.patch(Nodes, key, { type: "strategic", body }, { subresource: "status" });
    this.#posted = { conditions, status, atMs: clock.monotonic() };
    if (this.isReady !== wasReady) log.info({ node: facts.name, ready: this.isReady }, "Node readiness changed");
  }

  /** Undefined when the runtime does not answer. */
  async #runtimeConditions() {
    const { runtime, log } = this.#options;
    try {
      let conditions = await runtime.conditions();
      const lacksNetwork = conditions.some(({ type, status }) => type === "NetworkReady" && !status);
      if (this.#podCidr !== undefined && (lacksNetwork || this.#told !== this.#podCidr)) {
        await runtime.setPodCidr(this.#podCidr);
        if (this.#told !== this.#podCidr) log.info({ podCIDR: this.#podCidr }, "Updating Pod CIDR");
        this.#told = this.#podCidr;
        conditions = await runtime.conditions();
      }
      return conditions;
    } catch {
      this.#told = undefined;
      return undefined;
    }
  }

  async #register(facts: NodeFacts): Promise<Node> {
    const { client } = this.#options;
    const created = await client.create(Nodes, newNode(facts)).catch(ignoring(isAlreadyExists));
    if (created) return created;
    const { annotations } = newNode(facts).metadata;
    const body = { metadata: { labels: nodeLabels(facts), annotations } };
    return client.patch(Nodes, { name: facts.name }, { type: "strategic", body });
  }
}
