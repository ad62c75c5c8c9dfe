import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClientTls } from "../../net/grpc-client.ts";
import { addressesOf, ports } from "./addresses.ts";
import type { LabFile } from "./lab-file.ts";
import type { LabPaths } from "./paths.ts";
import { memberNames } from "./processes.ts";

/** How the store of a lab is reached from outside the lab, wherever it runs. */
export interface StoreAccess {
  /** `serverName`: what its certificate is checked for where that is not its address. */
  members: { name: string; address: string; url: string; serverName?: string }[];
  /** PEM files; undefined: plain TCP. */
  files: { caFile: string; certFile?: string | undefined; keyFile?: string | undefined } | undefined;
}

export function storeAccess(lab: LabFile, paths: LabPaths): StoreAccess {
  if (lab.store && "endpoints" in lab.store) {
    const { endpoints, caFile, certFile, keyFile } = lab.store;
    const scheme = caFile ? "https" : "http";
    const members = endpoints.map((address) => ({ name: address, address, url: `${scheme}://${address}` }));
    return { members, files: caFile ? { caFile, certFile, keyFile } : undefined };
  }
  const { outside } = addressesOf(lab);
  const file = (name: string) => join(paths.certs, "etcd", name);
  const members = memberNames(lab).map((name, i) => {
    const address = `${outside.member(i + 1)}:${ports.client}`;
    return { name, address, url: `https://${address}`, serverName: name };
  });
  return { members, files: { caFile: file("ca.crt"), certFile: file("client.crt"), keyFile: file("client.key") } };
}

export function storeTls({ files }: StoreAccess): ClientTls | undefined {
  if (files === undefined) return undefined;
  const { caFile, certFile, keyFile } = files;
  const own = certFile && keyFile ? { cert: readFileSync(certFile), key: readFileSync(keyFile) } : {};
  return { ca: readFileSync(caFile), ...own };
}
