import { readFileSync } from "node:fs";
import os from "node:os";
import { parseCidr } from "../base/cidr.ts";
import { faultFlags, takeFaults } from "../base/faults.ts";
import { FlagError, parseFlags } from "../base/flags.ts";
import { createLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { startOpsServer } from "../base/ops-server.ts";
import { runProcess } from "../base/process.ts";
import { systemRand } from "../base/rand.ts";
import { createGrpcClient } from "../client/grpc-client.ts";
import { leaderElectionFlags, leaderElectionTimings, runAsLeader } from "../client/leader-election.ts";
import { readTls } from "../net/tls.ts";
import { loadAuthority } from "../pki/authority.ts";
import { ControllerContext } from "./context.ts";
import { startControllers } from "./controllers.ts";

/** The controller-manager: all controllers in one process, of which one at a time leads. */
const flags = {
  apiserver: { type: "strings", help: "gRPC addresses of the apiservers, host:port" },
  "ca-file": { type: "string", help: "Authority of the apiservers' certificates; published as kube-root-ca.crt" },
  "cert-file": { type: "string", help: "Client certificate" },
  "key-file": { type: "string", help: "Key of the client certificate" },
  "bind-address": { type: "string", default: "127.0.0.1", help: "Address of /healthz, /readyz and /metrics" },
  "secure-port": { type: "number", default: 10257, help: "Port of /healthz, /readyz and /metrics" },
  ...leaderElectionFlags,
  ...faultFlags,
  "cluster-cidr": { type: "string", default: "10.244.0.0/16", help: "Range of the Pods' addresses" },
  "node-cidr-mask-size": { type: "number", default: 24, help: "Mask size of a node's part of the range" },
  "reserved-cidrs": { type: "strings", help: "Ranges never given to a node" },
  "node-monitor-period": { type: "duration", default: 5000, help: "How often all nodes are looked at anew" },
  "node-monitor-grace-period": { type: "duration", default: 50_000, help: "How long a node may give no sign of life" },
  "node-startup-grace-period": { type: "duration", default: 60_000, help: "The same for a node that never reported" },
  "cluster-signing-cert-file": { type: "string", optional: true, help: "Authority that signs certificate requests" },
  "cluster-signing-key-file": { type: "string", optional: true, help: "Its key (ECDSA P-256, PKCS #8)" },
  "cluster-signing-duration": { type: "duration", default: 31_536_000_000, help: "How long certificates hold at most" },
} as const;

const log = createLogger("kube-controller-manager");

runProcess(log, async (signal) => {
  const options = parseFlags(flags, process.argv.slice(2));
  const { clock } = await takeFaults(options["fault-socket"]);
  const clusterCidr = cidr("cluster-cidr", options["cluster-cidr"]);
  const reserved = options["reserved-cidrs"].map((text) => cidr("reserved-cidrs", text));
  const tls = readTls({
    caFile: options["ca-file"],
    certFile: options["cert-file"],
    keyFile: options["key-file"],
  });
  const [signingCert, signingKey] = [options["cluster-signing-cert-file"], options["cluster-signing-key-file"]];
  const signing =
    signingCert && signingKey
      ? {
          authority: await loadAuthority({
            cert: readFileSync(signingCert, "utf8"),
            key: readFileSync(signingKey, "utf8"),
          }),
          longestSeconds: options["cluster-signing-duration"] / 1000,
        }
      : undefined;
  const client = createGrpcClient({ servers: options.apiserver, tls });
  const identity = `${os.hostname()}_${systemRand.uuid()}`;
  let missing: string | undefined; // one that stands by is ready, too
  const ops = await startOpsServer({
    host: options["bind-address"],
    port: options["secure-port"],
    registry: createRegistry(),
    notReady: () => missing,
  });
  const context = new ControllerContext({ client, clock, rand: systemRand, log });
  const lead = (leading: AbortSignal) => {
    missing = "informers have not synced";
    return startControllers(
      context,
      {
        clusterCidr,
        nodeCidrMaskSize: options["node-cidr-mask-size"],
        reserved,
        nodeMonitorPeriodMs: options["node-monitor-period"],
        nodeMonitorGracePeriodMs: options["node-monitor-grace-period"],
        nodeStartupGracePeriodMs: options["node-startup-grace-period"],
        signing,
        rootCa: readFileSync(options["ca-file"], "utf8"),
      },
      leading,
      () => {
        missing = undefined;
      },
    );
  };
  if (options["leader-elect"]) {
    await runAsLeader(
      {
        client,
        namespace: "kube-system",
        name: "kube-controller-manager",
        identity,
        ...leaderElectionTimings(options),
        clock,
        rand: systemRand,
        log,
      },
      signal,
      lead,
    );
  } else {
    await lead(signal);
  }
  ops.close();
  client.close();
});

function cidr(flag: string, text: string): ReturnType<typeof parseCidr> {
  try {
    return parseCidr(text);
  } catch (error) {
    throw new FlagError(`flag --${flag}: ${(error as Error).message}`);
  }
}
