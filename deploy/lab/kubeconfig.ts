import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { addressesOf, ports } from "./addresses.ts";
import { hasBalancer, type LabFile } from "./lab-file.ts";
import type { LabPaths } from "./paths.ts";

/** The administrator's way in, as one file with the certificates in it: it works wherever it is copied to. */
export function writeKubeconfig(lab: LabFile, paths: LabPaths): void {
  const read = (file: string) => readFileSync(join(paths.certs, file), "utf8");
  const admin = { ca: read("ca.crt"), user: "admin", cert: read("admin.crt"), key: read("admin.key") };
  writeFileSync(paths.kubeconfig, kubeconfigText(lab, admin), { mode: 0o600 });
}

/** PEM in, the file's text out. */
export function kubeconfigText(lab: LabFile, of: { ca: string; user: string; cert: string; key: string }): string {
  const { outside } = addressesOf(lab);
  const data = (pem: string) => Buffer.from(pem).toString("base64");
  const name = `kubelab-${lab.name}`;
  const own = hasBalancer(lab) ? outside.balancer : outside.apiserver(1);
  const server = `https://${lab.controlPlaneEndpoint ?? `${own}:${ports.secure}`}`;
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server, "certificate-authority-data": data(of.ca) } }],
    users: [{ name: of.user, user: { "client-certificate-data": data(of.cert), "client-key-data": data(of.key) } }],
    contexts: [{ name, context: { cluster: name, user: of.user } }],
    "current-context": name,
  };
  return stringify(config, { lineWidth: 0 });
}

/** `host:port`, `[::1]:port`. */
export function splitEndpoint(endpoint: string): { host: string; port: number } {
  const at = endpoint.lastIndexOf(":");
  return { host: endpoint.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(endpoint.slice(at + 1)) };
}
