import { readFileSync } from "node:fs";
import { type Cidr, readCidr } from "../base/cidr.ts";
import { duration, FlagError, list, number, optional, text } from "../base/flags.ts";
import { runLeader } from "../client/component.ts";
import { loadAuthority } from "../pki/authority.ts";
import { ControllerContext } from "./context.ts";
import { startControllers } from "./controllers.ts";

/** The controller-manager: all controllers in one process, of which one at a time leads. */
const own = {
  "ca-file": text("Authority of the apiservers' certificates; published as kube-root-ca.crt"),
  "cluster-cidr": text("Range of the Pods' addresses", "10.244.0.0/16"),
  "node-cidr-mask-size": number("Mask size of a node's part of the range", 24),
  "reserved-cidrs": list("Ranges never given to a node"),
  "node-monitor-period": duration("How often all nodes are looked at anew", 5000),
  "node-monitor-grace-period": duration("How long a node may give no sign of life", 50_000),
  "node-startup-grace-period": duration("The same for a node that never reported", 60_000),
  "cluster-signing-cert-file": optional("Authority that signs certificate requests"),
  "cluster-signing-key-file": optional("Its key (ECDSA P-256, PKCS #8)"),
  "cluster-signing-duration": duration("How long certificates hold at most", 31_536_000_000),
} as const;

runLeader("kube-controller-manager", 10257, own, async (flags, parts) => {
  const read = (file: string) => readFileSync(file, "utf8");
  const [cert, key] = [flags["cluster-signing-cert-file"], flags["cluster-signing-key-file"]];
  const longestSeconds = flags["cluster-signing-duration"] / 1000;
  const options = {
    clusterCidr: cidr("cluster-cidr", flags["cluster-cidr"]),
    nodeCidrMaskSize: flags["node-cidr-mask-size"],
    reserved: flags["reserved-cidrs"].map((text) => cidr("reserved-cidrs", text)),
    nodeMonitorPeriodMs: flags["node-monitor-period"],
    nodeMonitorGracePeriodMs: flags["node-monitor-grace-period"],
    nodeStartupGracePeriodMs: flags["node-startup-grace-period"],
    signing:
      cert && key
        ? { authority: await loadAuthority({ cert: read(cert), key: read(key) }), longestSeconds }
        : undefined,
    rootCa: read(flags["ca-file"]),
  };
  return (leading, onSynced) => startControllers(new ControllerContext(parts), options, leading, onSynced);
});

function cidr(flag: string, text: string): Cidr {
  const range = readCidr(text);
  if (range === undefined) throw new FlagError(`flag --${flag}: invalid CIDR address: ${text}`);
  return range;
}
