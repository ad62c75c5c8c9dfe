/**
 * Many hollow nodes in one process, for any cluster of ours: `node dist/bench/hollow.mjs --nodes 100 --apiserver HOST:PORT
 * --ca-file ca.crt --cert-file admin.crt --key-file admin.key`. They end with the process; their Nodes stay, NotReady.
 */
import { systemClock } from "../../base/clock.ts";
import { parseFlags } from "../../base/flags.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess } from "../../base/process.ts";
import { systemRand } from "../../base/rand.ts";
import { clientFlags, connect } from "../../client/component.ts";
import { readMachine } from "../../node-agent/machine.ts";
import { each } from "../preload.ts";
import { HollowNode } from "./node.ts";

const nodesPerConnection = 50;
/** At a time: a thousand at once would wait for each other until their connections count as dead. */
const registering = 20;
const log = createLogger("hollow");

runProcess(log, async (signal) => {
  const flags = parseFlags(
    {
      ...clientFlags,
      "cert-file": { type: "string", help: "certificate of one who may write all Nodes, Leases and Pods" },
      nodes: { type: "number", default: 100, help: "how many" },
      "node-lease-duration": { type: "duration", help: "how long a renewed Lease is good for", default: 40_000 },
      "node-status-update-frequency": { type: "duration", help: "how often status is posted", default: 10_000 },
    },
    process.argv.slice(2),
  );
  const connections = Array.from({ length: Math.ceil(flags.nodes / nodesPerConnection) }, () => connect(flags));
  const times = { leaseDurationMs: flags["node-lease-duration"], heartbeatMs: flags["node-status-update-frequency"] };
  const common = { clock: systemClock, rand: systemRand, log, machine: readMachine("."), ...times };
  const running: Promise<void>[] = [];
  const start = (n: number) => {
    const client = connections[Math.floor(n / nodesPerConnection)]!;
    const who = { nodeName: `hollow-${n}`, nodeIP: `10.250.${n >> 8}.${n & 255}` };
    const node = new HollowNode({ ...common, ...who, client });
    running.push(node.run(signal));
    return Promise.race([node.registrar.registered, running.at(-1)]);
  };
  await each({ to: flags.nodes, width: registering, signal }, start).catch(() => {}); // told to end
  await Promise.all(running);
  for (const client of connections) client.close();
});
