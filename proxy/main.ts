import { networkInterfaces } from "node:os";
import { EndpointSlices, Services } from "../api/generated/resources.ts";
import { faultFlags, takeFaults } from "../base/faults.ts";
import { FlagError, parseFlags } from "../base/flags.ts";
import { createLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { startOpsServer } from "../base/ops-server.ts";
import { aborted, runProcess } from "../base/process.ts";
import { systemRand } from "../base/rand.ts";
import { clientFlags, connect } from "../client/component.ts";
import { EventRecorder } from "../client/events.ts";
import { Informer } from "../client/informer.ts";
import { keyOf } from "../client/store.ts";
import { listenersOf, nodePortAddresses, ownServiceRange } from "./addresses.ts";
import { proxyMetrics } from "./metrics.ts";
import { Proxier } from "./proxier.ts";
import { type Route, serviceOf } from "./routes.ts";

/** The proxy of one node (upstream's kube-proxy): ClusterIPs and NodePorts over TCP, in userspace. */
const log = createLogger("kube-proxy");

runProcess(log, async (signal) => {
  const flags = parseFlags(
    {
      "node-name": { type: "string", help: "name of this node" },
      "node-ip": { type: "string", help: "address of this node" },
      ...clientFlags,
      "bind-address": { type: "string", help: "address of the health port", default: "127.0.0.1" },
      "healthz-port": { type: "number", help: "port of /healthz and /metrics", default: 10256 },
      "service-cluster-ip-range": { type: "string", help: "range of the ClusterIPs", default: "10.96.0.0/12" },
      "nodeport-addresses": { type: "strings", help: "addresses or CIDRs where NodePorts listen (default: node-ip)" },
      "listen-outside": { type: "string", help: "address outside the lab where NodePorts listen too", optional: true },
      mode: { type: "string", help: "netns or host", default: "netns" },
      ...faultFlags,
    },
    process.argv.slice(2),
  );
  const { mode } = flags;
  if (mode !== "netns" && mode !== "host") throw new FlagError(`flag --mode takes netns or host, not "${mode}"`);
  const local = Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
  const addresses = {
    mode,
    nodePortAddresses: nodePortAddresses(flags["nodeport-addresses"], flags["node-ip"], local),
    outsideHost: flags["listen-outside"],
  } as const;
  if (mode === "netns") await ownServiceRange(flags["service-cluster-ip-range"]);

  const { clock, faults } = await takeFaults(flags["fault-socket"]);
  const client = connect(flags, faults);
  const events = new EventRecorder({ client, component: "kube-proxy", host: flags["node-name"], clock, log });
  const services = new Informer(client, Services, { clock, log });
  const slices = new Informer(client, EndpointSlices, { clock, log });
  const slicesByService = slices.store.index((slice) => [serviceOf(slice)]);

  const tell = ({ service: { namespace, name } }: Route, type: "Normal" | "Warning", reason: string, text: string) => {
    const object = services.store.get(`${namespace}/${name}`);
    if (object) events.event(Services, object, type, reason, text);
  };

  const registry = createRegistry();
  const proxier = new Proxier(
    {
      nodeName: flags["node-name"],
      clock,
      rand: systemRand,
      log,
      metrics: proxyMetrics(registry),
      faults,
      listenersOf: (route) => listenersOf(route, addresses),
      onListenFailed: (route, message) => tell(route, "Warning", "ListenFailed", message),
      onNote: (route, note) => tell(route, "Normal", "PortMoved", note),
    },
    { service: (key) => services.store.get(key), slicesOf: slicesByService },
  );
  services.on((service) => proxier.changed(keyOf(service)));
  slices.on({
    onAdd: (slice) => proxier.changed(serviceOf(slice)),
    onUpdate(old, slice) {
      proxier.changed(serviceOf(old));
      proxier.changed(serviceOf(slice));
    },
    onDelete: (slice) => proxier.changed(serviceOf(slice)),
  });
  const informers = [services.run(signal), slices.run(signal)];
  await startOpsServer({
    host: flags["bind-address"],
    port: flags["healthz-port"],
    registry,
    notReady: () => (services.hasSynced && slices.hasSynced ? undefined : "Services and EndpointSlices not read yet"),
  });
  await aborted(signal);
  proxier.close();
  await Promise.all(informers);
  client.close();
});
