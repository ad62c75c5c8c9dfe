import { isIP } from "node:net";
import { type LabCertsSpec, writeLabCerts } from "../../pki/lab-certs.ts";
import { addressesOf } from "./addresses.ts";
import { splitEndpoint } from "./kubeconfig.ts";
import { apiserverNames, hasBalancer, type LabFile } from "./lab-file.ts";
import type { LabPaths } from "./paths.ts";
import { memberNames, nodeNames } from "./processes.ts";

/** All identities of a lab, each server with the addresses that it has inside and outside. */
export function writeCerts(lab: LabFile, paths: LabPaths): Promise<void> {
  return writeLabCerts(paths.certs, certsSpec(lab));
}

export function certsSpec(lab: LabFile): LabCertsSpec {
  const { inside, outside, kubernetesIp } = addressesOf(lab);
  const both = (a: string, b: string) => [...new Set([a, b])];
  const endpoint = lab.controlPlaneEndpoint === undefined ? [] : [splitEndpoint(lab.controlPlaneEndpoint).host];
  const sans = [...endpoint, ...(lab.tlsSans ?? [])];
  return {
    apiserver: {
      dnsNames: [
        `kubernetes.default.svc.${lab.serviceDnsDomain ?? "cluster.local"}`,
        ...sans.filter((name) => isIP(name) === 0),
      ],
      ipAddresses: [
        kubernetesIp,
        ...apiserverNames(lab).flatMap((_, i) => both(inside.apiserver(i + 1), outside.apiserver(i + 1))),
        ...(hasBalancer(lab) ? both(inside.balancer, outside.balancer) : []),
        ...sans.filter((name) => isIP(name) !== 0),
      ],
    },
    members: memberNames(lab).map((name, i) => ({
      name,
      ipAddresses: ["127.0.0.1", ...both(inside.member(i + 1), outside.member(i + 1))],
    })),
    nodes: nodeNames(lab).map((name, i) => ({ name, ipAddresses: both(inside.node(i + 1), outside.node(i + 1)) })),
  };
}
