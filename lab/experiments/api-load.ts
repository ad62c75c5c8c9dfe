import { ConfigMaps, Namespaces } from "../../api/generated/resources.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { StatusError } from "../../apimachinery/status.ts";
import { attempt } from "../../base/attempt.ts";
import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { Client } from "../../client/types.ts";
import { openLoop } from "../clients/open-loop.ts";
import { httpGet } from "./http-get.ts";
import type { Call } from "./run.ts";
import type { Experiment } from "./schema.ts";

/** Requests to the API and to a Service, in open loops; each is a `Call` as soon as it is sent. */
export class ApiLoad {
  readonly calls: Call[] = [];
  readonly namespace: string;
  readonly #client: Client;
  readonly #tools: { rand: Rand; clock: Clock };
  readonly #stop = new AbortController();
  readonly #created: string[] = [];
  #running: Promise<unknown> = Promise.resolve();
  #next = 0;
  #made = false;

  constructor(client: Client, namespace: string, tools: { rand: Rand; clock: Clock }) {
    this.#client = client;
    this.namespace = namespace;
    this.#tools = tools;
  }

  async makeNamespace(): Promise<void> {
    this.#made = true;
    await this.#client.create(Namespaces, {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: this.namespace },
      spec: {},
    });
  }

  /** If it was made. */
  async removeNamespace(): Promise<void> {
    if (this.#made) await this.#client.delete(Namespaces, { name: this.namespace }).catch(() => {});
  }

  /** `urls`: where the Service of `http` answers, one a node. */
  start({ api = {}, http }: Experiment["workload"], urls: readonly string[]): void {
    const { creates = 0, updates = 0, lists = 0 } = api;
    const tools = { ...this.#tools, signal: this.#stop.signal };
    const every = (rate: number, send: (due: number) => Promise<void>) => (rate > 0 ? openLoop(rate, tools, send) : []);
    this.#running = Promise.all([
      every(creates, (due) => this.#create(due)),
      every(updates, (due) => this.#update(due)),
      every(lists, (due) => this.#list(due)),
      every(http && urls.length > 0 ? http.rate : 0, (due) => this.#get(http!.service, urls, due)),
    ]);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** What is there of what was created, by `Call.object`. */
  async final(): Promise<Map<string, { uid: string; resourceVersion: number }>> {
    const { items } = await this.#client.list(ConfigMaps, { namespace: this.namespace });
    return new Map(
      items.map(({ metadata: { namespace, name, uid, resourceVersion } }) => [
        `${namespace}/${name}`,
        { uid: uid!, resourceVersion: Number(resourceVersion) },
      ]),
    );
  }

  #create(due: number): Promise<void> {
    const name = `c${++this.#next}`;
    const { namespace } = this;
    const configMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace, name }, data: { value: "0" } };
    return this.#call("create configmaps", due, `${namespace}/${name}`, async () => {
      const made = await this.#client.create(ConfigMaps, configMap as never, { timeoutMs });
      this.#created.push(name);
      return made;
    });
  }

  async #update(due: number): Promise<void> {
    const { namespace } = this;
    const name = this.#created[this.#tools.rand.below(this.#created.length)];
    if (name === undefined) return; // nothing is there yet
    const patch = { type: "merge", body: { data: { value: `${++this.#next}` } } } as const;
    await this.#call("update configmaps", due, `${namespace}/${name}`, () =>
      this.#client.patch(ConfigMaps, { namespace, name }, patch, { timeoutMs }),
    );
  }

  #list(due: number): Promise<void> {
    return this.#call("list configmaps", due, undefined, async () => {
      await this.#client.list(ConfigMaps, { namespace: this.namespace, timeoutMs });
      return undefined;
    });
  }

  #get(service: string, urls: readonly string[], due: number): Promise<void> {
    const url = urls[this.#next++ % urls.length]!;
    return this.#call(`http ${service}`, due, undefined, async (call) => {
      const answer = await httpGet(url, timeoutMs, { headers: { accept: "application/json" } });
      const { pod } = attempt(() => JSON.parse(answer) as { pod?: string } | null) ?? {}; // ours say which they are
      if (pod) call.answeredBy = pod;
      return undefined;
    });
  }

  /** What a server says is so; of a write that it does not speak of, nobody knows. */
  async #call(
    kind: string,
    intended: number,
    object: string | undefined,
    send: (call: Call) => Promise<KubernetesObject | undefined>,
  ): Promise<void> {
    const { clock } = this.#tools;
    const call: Call = { kind, intended, called: clock.monotonic(), outcome: "unknown" };
    if (object) call.object = object;
    this.calls.push(call);
    try {
      const answer = await send(call);
      call.outcome = "ok";
      if (answer)
        Object.assign(call, { uid: answer.metadata.uid, resourceVersion: Number(answer.metadata.resourceVersion) });
    } catch (error) {
      const silent = !(error instanceof StatusError) || error.status.code >= 500;
      call.outcome = silent && object !== undefined ? "unknown" : "failed";
      call.error = (error as Error).message;
    }
    call.returned = clock.monotonic();
  }
}

const timeoutMs = 5000;
