import os from "node:os";
import { faultFlags, takeFaults } from "../base/faults.ts";
import { parseFlags } from "../base/flags.ts";
import { createLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { startOpsServer } from "../base/ops-server.ts";
import { runProcess } from "../base/process.ts";
import { systemRand } from "../base/rand.ts";
import { createGrpcClient } from "../client/grpc-client.ts";
import { leaderElectionFlags, leaderElectionTimings, runAsLeader } from "../client/leader-election.ts";
import { readTls } from "../net/tls.ts";
import { Scheduler } from "./scheduler.ts";

const flags = {
  apiserver: { type: "strings", help: "gRPC addresses of the apiservers, host:port" },
  "ca-file": { type: "string", help: "Authority of the apiservers' certificates" },
  "cert-file": { type: "string", help: "Client certificate" },
  "key-file": { type: "string", help: "Key of the client certificate" },
  "bind-address": { type: "string", default: "127.0.0.1", help: "Address of /healthz, /readyz and /metrics" },
  "secure-port": { type: "number", default: 10259, help: "Port of /healthz, /readyz and /metrics" },
  ...leaderElectionFlags,
  ...faultFlags,
} as const;

const log = createLogger("kube-scheduler");

runProcess(log, async (signal) => {
  const options = parseFlags(flags, process.argv.slice(2));
  const { clock } = await takeFaults(options["fault-socket"]);
  const tls = readTls({ caFile: options["ca-file"], certFile: options["cert-file"], keyFile: options["key-file"] });
  const client = createGrpcClient({ servers: options.apiserver, tls });
  let missing: string | undefined; // one that stands by is ready, too
  const ops = await startOpsServer({
    host: options["bind-address"],
    port: options["secure-port"],
    registry: createRegistry(),
    notReady: () => missing,
  });
  const lead = async (leading: AbortSignal) => {
    missing = "informers have not synced";
    const scheduler = new Scheduler({ client, clock, rand: systemRand, log });
    scheduler.synced.then(() => {
      missing = undefined;
    });
    await scheduler.run(leading);
  };
  const election = {
    client,
    namespace: "kube-system",
    name: "kube-scheduler",
    identity: `${os.hostname()}_${systemRand.uuid()}`,
    ...leaderElectionTimings(options),
    clock,
    rand: systemRand,
    log,
  };
  if (options["leader-elect"]) await runAsLeader(election, signal, lead);
  else await lead(signal);
  ops.close();
  client.close();
});
