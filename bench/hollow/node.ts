import type { Container, Node, Pod, PodStatus } from "../../api/generated/core-v1.ts";
import { Nodes, Pods } from "../../api/generated/resources.ts";
import { isConflict, isNotFound } from "../../apimachinery/status.ts";
import { formatIp, parseCidr } from "../../base/cidr.ts";
import type { Rand } from "../../base/rand.ts";
import { Informer } from "../../client/informer.ts";
import type { AgentOptions } from "../../node-agent/agent.ts";
import type { ContainerInfo } from "../../node-agent/cri-runtime.ts";
import { keepLease } from "../../node-agent/lease.ts";
import { NodeRegistrar } from "../../node-agent/node-registrar.ts";
import { podStatus } from "../../node-agent/status.ts";
import { StatusWriter } from "../../node-agent/status-writer.ts";

type FromAgent = "client" | "clock" | "log" | "nodeName" | "nodeIP" | "machine" | "leaseDurationMs" | "heartbeatMs";
export type HollowOptions = Pick<AgentOptions, FromAgent> & { rand: Rand };

interface HollowPod {
  status: StatusWriter;
  startedAtMs: number;
  /** Its address is the first of the node's range plus this. */
  index: number;
  ending: boolean;
}

/**
 * A node agent without a runtime, for control planes under load (upstream's kubemark, KWOK): to the API it is what the real
 * agent is, with the same code for Node, Lease, status and its patches, and the same watches of its Pods and its Node.
 * Containers of a bound Pod run at once, are ready, never end, and are gone as soon as the Pod is deleted. Absent: Events,
 * Services, routes, images.
 */
export class HollowNode {
  readonly #options: HollowOptions;
  readonly registrar: NodeRegistrar;
  readonly #nodes: Informer<Node>;
  readonly #podInformer: Informer<Pod>;
  readonly #pods = new Map<string, HollowPod>();
  #podCidr: string | undefined;

  constructor(options: HollowOptions) {
    this.#options = options;
    const { client, clock, log, nodeName: name, nodeIP: ip, machine } = options;
    this.#nodes = new Informer(client, Nodes, { fieldSelector: `metadata.name=${name}`, clock, log });
    this.#podInformer = new Informer(client, Pods, { fieldSelector: `spec.nodeName=${name}`, clock, log });
    const fine = { status: true, reason: "", message: "" };
    const conditions = ["RuntimeReady", "NetworkReady"].map((type) => ({ type, ...fine }));
    this.registrar = new NodeRegistrar({
      ...options,
      facts: { name, ip, mode: "hollow", port: 10250, machine },
      runtimeGraceMs: 0,
      readResources: () => ({ ...machine, inodesShare: 1, pids: 30_000 }),
      runtime: {
        version: async () => ({ name: "hollow", version: "0" }),
        conditions: async () => conditions,
        setPodCidr: async (podCidr) => {
          this.#podCidr = podCidr;
          for (const pod of this.#podInformer.store.list()) this.#set(pod);
        },
      },
    });
    const observe = (node: Node) => this.registrar.observe(node);
    this.#nodes.on({ onAdd: observe, onUpdate: (_, node) => observe(node) });
    const onDelete = ({ metadata: { uid } }: Pod) => {
      this.#pods.get(uid!)?.status.stop();
      this.#pods.delete(uid!);
    };
    this.#podInformer.on({ onAdd: (pod) => this.#set(pod), onUpdate: (_, pod) => this.#set(pod), onDelete });
  }

  /** Returns when `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, rand, leaseDurationMs: durationMs } = this.#options;
    const { registered } = this.registrar;
    // Nodes that register together must not renew together for ever.
    const lease = () => void keepLease({ ...this.#options, registered, durationMs }, signal);
    signal.addEventListener("abort", clock.after((rand.next() * durationMs) / 4, lease));
    await Promise.all([this.registrar.run(signal), this.#nodes.run(signal), this.#podInformer.run(signal)]);
  }

  #set(pod: Pod): void {
    if (this.#podCidr === undefined) return;
    const known = this.#pods.get(pod.metadata.uid!) ?? this.#begin(pod.metadata.uid!);
    known.status.observe(pod);
    if (known.ending) return;
    known.ending = pod.metadata.deletionTimestamp !== undefined;
    known.status.write(this.#statusOf(pod, known));
    if (known.ending) void this.#end(pod, known);
  }

  #begin(uid: string): HollowPod {
    const taken = new Set([...this.#pods.values()].map(({ index }) => index));
    let index = 2;
    while (taken.has(index)) index++;
    const startedAtMs = this.#options.clock.now();
    const pod = { status: new StatusWriter(this.#options), startedAtMs, index, ending: false };
    this.#pods.set(uid, pod);
    return pod;
  }

  /** As the real agent: the last status, then the object goes, if it is still the same Pod. */
  async #end({ metadata }: Pod, { status }: HollowPod): Promise<void> {
    const { client, log } = this.#options;
    await status.flushed();
    const options = { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid! } };
    await client.delete(Pods, { name: metadata.name, namespace: metadata.namespace! }, options).catch((err) => {
      if (!isNotFound(err) && !isConflict(err)) log.warn({ err, pod: metadata.name }, "Cannot delete the Pod");
    });
  }

  #statusOf(pod: Pod, { startedAtMs, index, ending: over }: HollowPod): PodStatus {
    const { nodeIP: hostIP, clock } = this.#options;
    const { uid = "", name: podName, namespace: podNamespace = "" } = pod.metadata;
    const { containers, initContainers = [], hostNetwork } = pod.spec!;
    const address = formatIp(parseCidr(this.#podCidr!).first + index);
    const sandbox = { id: uid, podName, podNamespace, attempt: 0, ready: !over, createdAtMs: startedAtMs };
    const info = ({ name, image = "" }: Container, exited: boolean): ContainerInfo => ({
      ...{ id: `${uid}-${name}`, sandboxId: uid, name, image, imageId: image, restartCount: 0, hash: "", logPath: "" },
      ...{ state: exited ? "exited" : "running", createdAtMs: startedAtMs, startedAtMs },
      finishedAtMs: exited ? clock.now() : 0,
      ...{ exitCode: 0, reason: "", message: "", gracePeriodSeconds: undefined },
    });
    const runtime = {
      runtimeName: "hollow",
      sandboxes: [{ ...sandbox, ips: hostNetwork ? [] : [address] }],
      containers: [
        ...containers.map((one) => info(one, over)),
        ...initContainers.map((one) => info(one, over || one.restartPolicy !== "Always")),
      ],
    };
    const fine = { waiting: new Map(), isStarted: () => true, isReady: () => true, failed: undefined };
    return podStatus({ pod, runtime, ...fine, hostIP, nowMs: clock.now(), over });
  }
}
