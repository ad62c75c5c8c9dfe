import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { addressesOf, ports } from "./addresses.ts";
import type { LabFile } from "./lab-file.ts";
import type { LabPaths } from "./paths.ts";

/** The administrator's way in, as one file with the certificates in it: it works wherever it is copied to. */
export function writeKubeconfig(lab: LabFile, paths: LabPaths): void {
  const { outside } = addressesOf(lab);
  const data = (file: string) => readFileSync(join(paths.certs, file)).toString("base64");
  const name = `kubelab-${lab.name}`;
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name,
        cluster: {
          server: `https://${lab.controlPlaneEndpoint ?? `${outside.apiserver(1)}:${ports.secure}`}`,
          "certificate-authority-data": data("ca.crt"),
        },
      },
    ],
    users: [{ name, user: { "client-certificate-data": data("admin.crt"), "client-key-data": data("admin.key") } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  };
  writeFileSync(paths.kubeconfig, stringify(config, { lineWidth: 0 }), { mode: 0o600 });
}

/** `host:port`, `[::1]:port`. */
export function splitEndpoint(endpoint: string): { host: string; port: number } {
  const at = endpoint.lastIndexOf(":");
  return { host: endpoint.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(endpoint.slice(at + 1)) };
}
