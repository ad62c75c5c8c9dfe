import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import tls, { type SecureVersion } from "node:tls";
import { boolean, type FlagSpec, type Flags, list, number, optional, text } from "../../base/flags.ts";
import type { Logger } from "../../base/logger.ts";
import { StartError } from "../../base/process.ts";
import { TlsFilesSource, type TlsRules, type TlsSource, type WatchedTlsFiles } from "../../net/tls-source.ts";
import { hostOf } from "./cluster.ts";

/** TLS of one of the two ports, as its flags say: clients' have no prefix, peers' have `peer-`. */
export const tlsFlagSpec = {
  "cert-file": optional("Certificate for clients"),
  "key-file": optional("Its key"),
  "trusted-ca-file": optional("Authority of the clients' certificates"),
  "client-cert-auth": boolean("Require client certificates; their name is the user", false),
  "client-crl-file": optional("Revoked certificates of clients"),
  "client-cert-allowed-hostname": list("Clients' certificates must be for one of these"),
  "auto-tls": boolean("https for clients with a certificate made here", false),
  "peer-cert-file": optional("Certificate towards peers"),
  "peer-key-file": optional("Its key"),
  "peer-trusted-ca-file": optional("Authority of the peers' certificates"),
  "peer-client-cert-auth": boolean("Require peers to show certificates", false),
  "peer-crl-file": optional("Revoked certificates of peers"),
  "peer-cert-allowed-cn": list("Peers' certificates must have one of these common names"),
  "peer-cert-allowed-hostname": list("Peers' certificates must be for one of these"),
  "peer-auto-tls": boolean("https between peers with certificates made here", false),
  "self-signed-cert-validity": number("Years that a certificate made here is valid", 1),
  "cipher-suites": list("Cipher suites of TLS 1.2, by their IANA names"),
  "tls-min-version": text("TLS1.2 or TLS1.3", "TLS1.2"),
  "tls-max-version": text("TLS1.2 or TLS1.3", ""),
} as const satisfies FlagSpec;

type TlsFlags = Flags<typeof tlsFlagSpec>;

export interface SideConfig {
  files: WatchedTlsFiles | undefined; // undefined: plain text, or certificates of our own making
  auto: boolean;
  requireCertificate: boolean; // the other side must show a certificate of the authority
  rules: TlsRules;
  validityYears: number;
  hosts: string[]; // https is spoken here; these are the hosts of the URLs
}

/** Throws a StartError of one line. `warnings` get what etcd warns of, too. */
export function sideConfig(flags: TlsFlags, side: "" | "peer-", urls: string[], warnings: string[]): SideConfig {
  const [cert, key, ca] = [flags[`${side}cert-file`], flags[`${side}key-file`], flags[`${side}trusted-ca-file`]];
  const crl = flags[side === "" ? "client-crl-file" : "peer-crl-file"];
  const secure = urls.filter((url) => url.startsWith("https:"));
  if ((cert === undefined) !== (key === undefined))
    throw new StartError(`--${side}cert-file and --${side}key-file must both be present`);
  const given = flags[side === "" ? "auto-tls" : "peer-auto-tls"];
  if (given && cert !== undefined) warnings.push(`--${side}auto-tls is ignored: certificates are given`);
  const auto = given && cert === undefined;
  if (secure.length > 0 && cert === undefined && !auto) {
    throw new StartError(
      `cannot listen on TLS for ${secure[0]}: --${side}key-file and --${side}cert-file are not presented`,
    );
  }
  for (const url of urls.filter((url) => cert !== undefined && !secure.includes(url)))
    warnings.push(`${url}: the scheme is HTTP while key and cert files are present; ignoring key and cert files`);
  const wanted = flags[`${side}client-cert-auth`];
  if (wanted && ca === undefined && !auto)
    throw new StartError(`--${side}client-cert-auth needs --${side}trusted-ca-file`);
  const allowedCNs = side === "" ? [] : flags["peer-cert-allowed-cn"];
  const allowedHostnames = flags[side === "" ? "client-cert-allowed-hostname" : "peer-cert-allowed-hostname"];
  if (allowedCNs.length > 0 && allowedHostnames.length > 0) {
    throw new StartError(
      `--peer-cert-allowed-cn and --peer-cert-allowed-hostname are mutually exclusive (cn=${allowedCNs}, hostname=${allowedHostnames})`,
    );
  }
  return {
    files: cert === undefined || secure.length === 0 ? undefined : { cert, key: key!, ca, crl },
    auto: auto && secure.length > 0,
    requireCertificate: ca !== undefined, // as etcd: an authority is reason enough
    rules: { ...versions(flags), allowedCNs, allowedHostnames, trustsAnyone: side !== "" && auto },
    validityYears: flags["self-signed-cert-validity"],
    hosts: [...new Set(secure.map(hostOf))],
  };
}

function versions(flags: TlsFlags): TlsRules {
  const versionOf = (flag: "tls-min-version" | "tls-max-version"): SecureVersion | undefined => {
    const text = flags[flag];
    if (text === "") return undefined;
    if (text !== "TLS1.2" && text !== "TLS1.3")
      throw new StartError(`--${flag}: unexpected TLS version "${text}", must be one of: TLS1.2, TLS1.3`);
    return text === "TLS1.2" ? "TLSv1.2" : "TLSv1.3";
  };
  const [minVersion, maxVersion] = [versionOf("tls-min-version"), versionOf("tls-max-version")];
  if (minVersion === "TLSv1.3" && maxVersion === "TLSv1.2")
    throw new StartError("--tls-min-version (TLS1.3) is greater than --tls-max-version (TLS1.2)");
  if (minVersion === "TLSv1.3" && flags["cipher-suites"].length > 0)
    throw new StartError("--cipher-suites cannot be configured when only TLS1.3 is enabled");
  const ciphers = flags["cipher-suites"].map(opensslName);
  // As in Go, the suites of TLS 1.3 are not to choose: they stay on.
  return { minVersion, maxVersion, ciphers: ciphers.length > 0 ? [...ciphers, ...suites13].join(":") : undefined };
}

/** TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 is OpenSSL's ECDHE-RSA-AES128-GCM-SHA256. */
function opensslName(suite: string): string {
  if (suites13.includes(suite)) return suite;
  const name = suite
    .replace(/^TLS_(RSA_WITH_)?/, "")
    .replace("_WITH_", "_")
    .replace(/AES_(\d+)(_CBC)?/, "AES$1")
    .replace(/(CHACHA20_POLY1305)_SHA256$/, "$1")
    .replaceAll("_", "-");
  if (!tls.getCiphers().includes(name.toLowerCase()))
    throw new StartError(`--cipher-suites: unexpected TLS cipher suite "${suite}"`);
  return name;
}

const suites13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/** Undefined where no URL is https. `dir`: where certificates of our own making are kept, `<data>/fixtures/client` or `peer`. */
export async function openTls(side: SideConfig, dir: string, log: Logger): Promise<TlsSource | undefined> {
  const files = side.files ?? (side.auto ? await selfSigned(side, dir, log) : undefined);
  if (files === undefined) return undefined;
  for (const file of Object.values(files)) {
    if (file !== undefined && !existsSync(file)) throw new StartError(`certificate file ${file} does not exist`);
  }
  try {
    return new TlsFilesSource(files, side.rules, log);
  } catch (error) {
    const names = Object.values(files).filter(Boolean).join(", ");
    throw new StartError(`cannot use the TLS files ${names}: ${(error as Error).message}`, { cause: error });
  }
}

/** Made once, and kept: who trusts it goes on trusting it over a restart. */
async function selfSigned({ hosts, validityYears }: SideConfig, dir: string, log: Logger): Promise<WatchedTlsFiles> {
  const files = { cert: `${dir}/cert.pem`, key: `${dir}/key.pem` };
  if (existsSync(files.cert) && existsSync(files.key)) return files;
  const { createSelfSigned } = await import("../../pki/authority.ts");
  const { isIP } = await import("node:net");
  const made = await createSelfSigned(
    {
      commonName: "etcd",
      organizations: ["etcd"],
      dnsNames: hosts.filter((host) => !isIP(host)),
      ipAddresses: hosts.filter((host) => isIP(host)),
      usages: ["client", "server"],
    },
    validityYears * 365,
  );
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeFileSync(files.key, made.key, { mode: 0o600 });
  writeFileSync(files.cert, made.cert, { mode: 0o600 });
  log.info({ files, hosts }, "Made a self-signed certificate");
  return files;
}
