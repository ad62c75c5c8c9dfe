import os from "node:os";
import { type Faults, faultFlags, takeFaults } from "../base/faults.ts";
import { type FlagSpec, type Flags, list, number, parseFlags, text } from "../base/flags.ts";
import { createLogger } from "../base/logger.ts";
import { createRegistry } from "../base/metrics.ts";
import { startOpsServer } from "../base/ops-server.ts";
import { runProcess } from "../base/process.ts";
import { type Rand, systemRand } from "../base/rand.ts";
import { readTls } from "../net/tls.ts";
import { createGrpcClient } from "./grpc-client.ts";
import { leaderElectionFlags, leaderElectionTimings, runAsLeader } from "./leader-election.ts";
import type { Client, Parts } from "./types.ts";

/** Flags of every process that talks to the apiservers. */
export const clientFlags = {
  apiserver: list("gRPC addresses of the apiservers, host:port"),
  "ca-file": text("authority of the apiservers' certificates"),
  "cert-file": text("client certificate"),
  "key-file": text("key of the client certificate"),
} as const;

export function connect(flags: Flags<typeof clientFlags>, faults?: Faults): Client & { close(): void } {
  const tls = readTls({ caFile: flags["ca-file"], certFile: flags["cert-file"], keyFile: flags["key-file"] });
  return createGrpcClient({ servers: flags.apiserver, tls, faults });
}

/** What a component of which one leads is made from. */
export interface LeaderParts extends Parts {
  rand: Rand;
}

type Lead = (leading: AbortSignal, onSynced: () => void) => Promise<void>;

const leaderFlags = (port: number) => ({
  ...clientFlags,
  "bind-address": text("address of /healthz, /readyz and /metrics", "127.0.0.1"),
  "secure-port": number("port of /healthz, /readyz and /metrics", port),
  ...leaderElectionFlags,
  ...faultFlags,
});

/**
 * The process of a component of which one at a time leads. `prepare` reads its own flags; what it returns is run while this
 * process leads. One that stands by is ready; one that leads is once it has called `onSynced`.
 */
export function runLeader<const S extends FlagSpec>(
  name: string,
  port: number,
  own: S,
  prepare: (flags: Flags<S> & Flags<typeof clientFlags>, parts: LeaderParts) => Lead | Promise<Lead>,
): void {
  const log = createLogger(name);
  runProcess(log, async (signal) => {
    const parsed: unknown = parseFlags({ ...leaderFlags(port), ...own }, process.argv.slice(2));
    const flags = parsed as Flags<S> & Flags<ReturnType<typeof leaderFlags>>;
    const { clock, faults } = await takeFaults(flags["fault-socket"]);
    const client = connect(flags, faults);
    const parts = { client, clock, rand: systemRand, log };
    const run = await prepare(flags, parts);
    let missing: string | undefined;
    const address = { host: flags["bind-address"], port: flags["secure-port"] };
    const ops = await startOpsServer({ ...address, registry: createRegistry(), notReady: () => missing });
    const lead = (leading: AbortSignal) => {
      missing = "informers have not synced";
      return run(leading, () => {
        missing = undefined;
      });
    };
    const identity = `${os.hostname()}_${systemRand.uuid()}`;
    const election = { ...parts, namespace: "kube-system", name, identity, ...leaderElectionTimings(flags) };
    if (flags["leader-elect"]) await runAsLeader(election, signal, lead);
    else await lead(signal);
    ops.close();
    client.close();
  });
}
