import { createServer, connect as dial } from "node:net";
import type { Node, Pod, Service } from "../../api/generated/core-v1.ts";
import * as all from "../../api/generated/resources.ts";
import { sleep, systemClock } from "../../base/clock.ts";
import { createLogger } from "../../base/logger.ts";
import { Informer } from "../../client/informer.ts";
import { type Planes, withControlPlane } from "../control-plane.ts";
import { each } from "../preload.ts";
import { until } from "../process.ts";
import type { Scale } from "./main.ts";

const limitMs = 180_000;
const podsPerNode = 2;
const servicePort = 8080;
const namespace = "many";
const log = createLogger("bench");

/** What one curve is measured on. */
interface Plane extends Planes {
  point(n: number, metric: string, unit: string, value: number): void;
  /** Milliseconds until `test` holds. */
  until(what: string, test: () => boolean | Promise<boolean>): Promise<number>;
}

async function withPlane(scale: Scale, work: (on: Plane) => Promise<void>): Promise<void> {
  const { signal } = scale;
  await withControlPlane({ members: 1, signal }, async (planes) => {
    const holds: Plane["until"] = (what, test) =>
      until(what, { limitMs, everyMs: 3, signal }, () => {
        planes.plane.check();
        return test();
      });
    await planes.client.create(all.Namespaces, { metadata: { name: namespace }, spec: {} });
    await work({ ...planes, until: holds, point: (...rest) => scale.point("ours", ...rest) });
  });
}

/** ConfigMaps over the gRPC front; the client is this process. */
export async function objects(scale: Scale, sizes: number[]): Promise<void> {
  await withPlane(scale, async ({ plane, cluster, client, point }) => {
    const data = { text: "v".repeat(800) };
    const key = (n: number) => ({ name: `c-${n}`, namespace });
    const { signal } = scale;
    let stored = 0;
    for (const n of sizes) {
      const create = (i: number) => client.create(all.ConfigMaps, { metadata: key(i), data });
      point(n, "creates", "1/s", await each({ from: stored, to: n, width: 50, signal }, create));
      stored = n;
      for (let round = 1; round <= scale.rounds; round++) {
        const patch = { type: "merge", body: { metadata: { annotations: { round: `${round}` } } } } as const;
        const some = { to: Math.min(n, 1000), width: 50, signal };
        point(n, "gets", "1/s", await each(some, (i) => client.get(all.ConfigMaps, key(i))));
        point(n, "patches", "1/s", await each(some, (i) => client.patch(all.ConfigMaps, key(i), patch)));
        const list = () => client.list(all.ConfigMaps, { namespace, timeoutMs: limitMs });
        point(n, "list of all", "ms", 1000 / (await each({ to: 3, width: 1, signal }, list)));
      }
      point(n, "PSS of the apiserver", "MB", plane.usage().pssMb);
      point(n, "PSS of the member", "MB", cluster.usage()[0]!.pssMb);
    }
  });
}

const isReady = ({ status }: Node | Pod) =>
  status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;

export async function nodes(scale: Scale, sizes: number[]): Promise<void> {
  for (const n of sizes)
    await withPlane(scale, async (on) => {
      const over = new AbortController();
      const tools = { clock: systemClock, log };
      const nodes = new Informer(on.client, all.Nodes, tools);
      const pods = new Informer(on.client, all.Pods, { ...tools, namespace });
      const running = Promise.all([nodes.run(over.signal), pods.run(over.signal)]);
      await hollow(scale, n, on, nodes, pods).finally(() => over.abort());
      await running;
    });
}

async function hollow(scale: Scale, n: number, on: Plane, nodes: Informer<Node>, pods: Informer<Pod>): Promise<void> {
  const { plane, cluster, client, point, until } = on;
  const account = { namespace, name: "default" };
  await plane.startComponent("controller-manager");
  await plane.startComponent("scheduler");
  const exists = () => client.get(all.ServiceAccounts, account).then(Boolean, () => false);
  await until("a service account", exists);
  await plane.startComponent("hollow", `--nodes=${n}`);
  const ready = (informer: Informer<Node> | Informer<Pod>) => informer.store.list().filter(isReady).length;
  point(n, "all nodes Ready", "s", (await until("all nodes Ready", () => ready(nodes) >= n)) / 1000);
  const others = ["apiserver", "controller-manager", "scheduler", "hollow"] as const;
  const usages = () => [
    ...others.map((name) => ({ name, ...plane.usage(name) })),
    { name: "member", ...cluster.usage()[0]! },
  ];
  const [before, began] = [usages(), systemClock.monotonic()];
  await sleep(systemClock, 10 * scale.measureMs, scale.signal); // a round of Leases and status
  const seconds = (systemClock.monotonic() - began) / 1000;
  for (const [i, { name, cpuSeconds }] of usages().entries())
    point(n, `${name} at rest`, "cores", (cpuSeconds - before[i]!.cpuSeconds) / seconds);
  const [labels, replicas] = [{ app: "hollow" }, podsPerNode * n];
  const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "kubelab/echo" }] } };
  const metadata = { name: "hollow", namespace };
  await client.create(all.Deployments, { metadata, spec: { replicas, selector: { matchLabels: labels }, template } });
  point(n, "Pods to Ready", "1/s", (1000 * replicas) / (await until("all Pods Ready", () => ready(pods) >= replicas)));
  for (const { name, pssMb } of usages()) point(n, `PSS of the ${name}`, "MB", pssMb);
}

/** Services with one endpoint each, a server here that says a byte; they are reached through the proxy. */
export async function services(scale: Scale, sizes: number[]): Promise<void> {
  const server = createServer((socket) => socket.on("error", () => {}).end("x")).listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address() as { port: number };
  const work = async ({ plane, client, point, until }: Plane) => {
    await plane.startComponent("proxy");
    const make = async (n: number): Promise<Service> => {
      const metadata = { name: `s-${n}`, namespace };
      const service = await client.create(all.Services, { metadata, spec: { ports: [{ port: servicePort }] } });
      await client.create(all.EndpointSlices, {
        metadata: { ...metadata, labels: { "kubernetes.io/service-name": metadata.name } },
        addressType: "IPv4",
        ports: [{ port, protocol: "TCP" }],
        endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
      });
      return service;
    };
    const served = ({ spec }: Service) => until("an answer of a Service", () => answers(spec.clusterIP!, servicePort));
    let made = 0;
    for (const n of sizes) {
      const perSecond = await each({ from: made, to: n - 1, width: 20, signal: scale.signal }, make);
      point(n, "created with slice", "1/s", perSecond);
      await served(await make(n - 1));
      made = n;
      for (let round = 0; round < scale.rounds; round++) {
        const began = systemClock.monotonic();
        await served(await make(made++));
        point(n, "from create to served", "ms", systemClock.monotonic() - began);
      }
      for (const name of ["apiserver", "proxy"] as const) point(n, `PSS of the ${name}`, "MB", plane.usage(name).pssMb);
    }
  };
  await withPlane(scale, work).finally(() => server.close());
}

/** Whether the first byte comes through. */
function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = dial({ host, port });
    for (const event of ["error", "close"] as const) socket.once(event, () => resolve(false));
    socket.once("data", () => {
      resolve(true);
      socket.destroy();
    });
  });
}
