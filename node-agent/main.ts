import { mkdirSync } from "node:fs";
import { faultFlags, takeFaults } from "../base/faults.ts";
import { FlagError, parseFlags } from "../base/flags.ts";
import { createLogger } from "../base/logger.ts";
import { createRegistry, Gauge } from "../base/metrics.ts";
import { runProcess } from "../base/process.ts";
import { clientFlags, connect } from "../client/component.ts";
import { readTls } from "../net/tls.ts";
import { Agent } from "./agent.ts";
import { CriRuntime } from "./cri-runtime.ts";
import { applyRoutes } from "./kernel-routes.ts";
import { readMachine } from "./machine.ts";
import { startServer } from "./server.ts";

/** The agent of one node (upstream's kubelet). */
const log = createLogger("kubelet");

runProcess(log, async (signal) => {
  const flags = parseFlags(
    {
      "node-name": { type: "string", help: "name of this node" },
      "node-ip": { type: "string", help: "address of this node" },
      ...clientFlags,
      address: { type: "string", help: "address to serve on (default: node-ip)", optional: true },
      port: { type: "number", help: "port to serve on", default: 10250 },
      "client-ca-file": { type: "string", help: "authority of those who may call" },
      "tls-cert-file": { type: "string", help: "server certificate" },
      "tls-private-key-file": { type: "string", help: "its key" },
      "container-runtime-endpoint": { type: "string", help: "the runtime's CRI socket, unix:///..." },
      "root-dir": { type: "string", help: "directory for volumes and logs" },
      "node-lease-duration": { type: "duration", help: "how long a renewed Lease is good for", default: 40_000 },
      "node-status-update-frequency": { type: "duration", help: "how often status is posted", default: 10_000 },
      mode: { type: "string", help: "netns or host", default: "netns" },
      ...faultFlags,
    },
    process.argv.slice(2),
  );
  const { mode } = flags;
  if (mode !== "netns" && mode !== "host") throw new FlagError(`flag --mode takes netns or host, not "${mode}"`);
  const { clock, faults } = await takeFaults(flags["fault-socket"]);
  const client = connect(flags, faults);
  const runtime = new CriRuntime(flags["container-runtime-endpoint"]);
  const rootDir = flags["root-dir"];
  mkdirSync(rootDir, { recursive: true });
  const agent = new Agent({
    client,
    runtime,
    clock,
    log,
    nodeName: flags["node-name"],
    nodeIP: flags["node-ip"],
    mode,
    port: flags.port,
    rootDir,
    machine: readMachine(rootDir),
    leaseDurationMs: flags["node-lease-duration"],
    heartbeatMs: flags["node-status-update-frequency"],
    runtimeGraceMs: 30_000, // upstream's
    ...(mode === "netns" && { applyRoutes }),
  });
  const registry = createRegistry();
  new Gauge({
    name: "kubelet_running_pods",
    help: "Pods that have a running container.",
    registers: [registry],
    collect() {
      const running = [...agent.pods.workers].filter(({ containers }) => containers.some((c) => c.state === "running"));
      this.set(running.length);
    },
  });
  const server = await startServer({
    host: flags.address ?? flags["node-ip"],
    port: flags.port,
    tls: readTls({
      certFile: flags["tls-cert-file"],
      keyFile: flags["tls-private-key-file"],
      caFile: flags["client-ca-file"],
    }),
    pods: agent.pods,
    registry,
    notReady: () => agent.notReady(),
    clock,
    log,
  });
  await agent.run(signal);
  server.close();
  runtime.close();
  client.close();
});
