import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import net, { type Socket } from "node:net";
import tls from "node:tls";
import type { Logger } from "../base/logger.ts";
import { revokedSerials } from "./crl.ts";
import type { TlsMaterial } from "./tls.ts";

/**
 * What TLS connections are made of, asked anew for each of them: certificates may change while the process runs.
 *
 * `TlsFilesSource` looks at its files when a handshake begins, as etcd does: no watcher, which misses a swapped symlink or a
 * network file system, and no polling, so that an idle process does nothing. Four `stat` cost some 20 µs beside a handshake
 * of a millisecond; only what changed is read. A file that is half written, or that does not fit the others yet, changes
 * nothing: connections go on with what was there, and one line of the log says why.
 */
export interface TlsSource {
  /** Counts what has been there; a higher one means that `options` differ. */
  version(): number;
  options(): tls.SecureContextOptions;
  /** Why the other side may not be talked to, though its certificate is of the right authority; undefined: it may. */
  refusal(certificate: tls.DetailedPeerCertificate): string | undefined;
  /** The other side's certificate is not looked at: `--peer-auto-tls`. */
  readonly trustsAnyone: boolean;
}

export const fixedTls = (material: TlsMaterial): TlsSource => ({
  version: () => 0,
  options: () => ({ ...material }),
  refusal: () => undefined,
  trustsAnyone: false,
});

export interface WatchedTlsFiles {
  cert: string;
  key: string;
  /** Undefined: nobody's certificate is wanted; for dialling, the own certificate is trusted. */
  ca?: string | undefined;
  /** Revoked certificates. */
  crl?: string | undefined;
}

export interface TlsRules {
  minVersion?: tls.SecureVersion | undefined;
  maxVersion?: tls.SecureVersion | undefined;
  /** OpenSSL's names, joined by colons. */
  ciphers?: string | undefined;
  /** The other side's certificate must have one of these common names, or be valid for one of these host names. */
  allowedCNs?: readonly string[];
  allowedHostnames?: readonly string[];
  trustsAnyone?: boolean;
}

export class TlsFilesSource implements TlsSource {
  readonly trustsAnyone: boolean;
  readonly #files: WatchedTlsFiles;
  readonly #rules: TlsRules;
  readonly #log: Pick<Logger, "info" | "warn">;
  #stamp: string;
  #version = 1;
  #loaded: { options: tls.SecureContextOptions; revoked: Set<bigint> };

  /** Throws when the files as they are do not do. */
  constructor(files: WatchedTlsFiles, rules: TlsRules, log: Pick<Logger, "info" | "warn">) {
    this.#files = files;
    this.#rules = rules;
    this.#log = log;
    this.trustsAnyone = rules.trustsAnyone ?? false;
    this.#stamp = this.#stampNow();
    this.#loaded = this.#load();
  }

  version(): number {
    const stamp = this.#stampNow();
    if (stamp === this.#stamp) return this.#version;
    this.#stamp = stamp; // also if they do not do: they are looked at again when they change again
    try {
      this.#loaded = this.#load();
      this.#version++;
      this.#log.info({ files: this.#files }, "Reloaded the TLS files: new connections use them");
    } catch (error) {
      const reason = (error as Error).message;
      this.#log.warn({ files: this.#files, reason }, "Cannot use the changed TLS files, keeping what was there");
    }
    return this.#version;
  }

  options(): tls.SecureContextOptions {
    this.version();
    return this.#loaded.options;
  }

  refusal(certificate: tls.DetailedPeerCertificate): string | undefined {
    this.version();
    if (certificate.raw === undefined) return undefined; // none: whether that is allowed is asked elsewhere
    for (let at = certificate; ; at = at.issuerCertificate) {
      if (this.#loaded.revoked.has(BigInt(`0x${at.serialNumber}`)))
        return `certificate serial ${at.serialNumber} revoked`;
      if (at.issuerCertificate === undefined || at.issuerCertificate === at) break;
    }
    const { allowedCNs = [], allowedHostnames = [] } = this.#rules;
    const { CN } = certificate.subject;
    if (allowedCNs.length > 0 && !allowedCNs.includes(CN)) return `common name ${CN} is not allowed`;
    if (allowedHostnames.length === 0) return undefined;
    const known = new X509Certificate(certificate.raw);
    if (allowedHostnames.some((name) => (net.isIP(name) ? known.checkIP(name) : known.checkHost(name))))
      return undefined;
    return `the certificate is for none of ${allowedHostnames.join(", ")}`;
  }

  #load(): { options: tls.SecureContextOptions; revoked: Set<bigint> } {
    const { cert, key, ca, crl } = this.#files;
    const { minVersion, maxVersion, ciphers } = this.#rules;
    const files = { cert: readFileSync(cert), key: readFileSync(key), ca: readFileSync(ca ?? cert) };
    const options: tls.SecureContextOptions = { ...files, minVersion, maxVersion, ciphers };
    tls.createSecureContext(options); // throws: no PEM, or the key of another certificate
    certificatesIn(files.ca, ca ?? cert); // which it takes without a look
    return { options, revoked: crl === undefined ? new Set() : revokedSerials(readFileSync(crl)) };
  }

  #stampNow(): string {
    return Object.values(this.#files)
      .map((file: string | undefined) => {
        const stat = file === undefined ? undefined : statSync(file, { bigint: true, throwIfNoEntry: false });
        return stat && `${stat.mtimeNs}:${stat.ctimeNs}:${stat.ino}:${stat.size}`;
      })
      .join();
  }
}

/** Throws unless all of it can be read, and there is something. */
function certificatesIn(pem: Buffer, file: string): X509Certificate[] {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]*(-----END CERTIFICATE-----)?/g) ?? [];
  if (blocks.length === 0) throw new Error(`${file} holds no certificate`);
  return blocks.map((block) => new X509Certificate(block));
}

/** The server's side: gives each raw connection its handshake with the options of that moment, then to `accept`. */
export function tlsAcceptor(
  source: TlsSource,
  options: Pick<tls.TlsOptions, "requestCert" | "rejectUnauthorized" | "ALPNProtocols">,
  handlers: { accept(socket: tls.TLSSocket): void; refused(socket: Socket, reason: string): void },
): (socket: Socket) => void {
  let version = source.version();
  const server = tls.createServer({ ...source.options(), ...options });
  server.on("tlsClientError", (error, socket) => {
    handlers.refused(socket, error.message);
    socket.destroy();
  });
  server.on("secureConnection", (socket) => {
    socket.on("error", () => socket.destroy());
    const refusal = source.refusal(socket.getPeerCertificate(true));
    if (refusal === undefined) return handlers.accept(socket);
    handlers.refused(socket, refusal);
    socket.destroy();
  });
  return (socket) => {
    if (source.version() !== version) {
      version = source.version();
      server.setSecureContext({ ...source.options(), ...options }); // with new keys for session tickets
    }
    server.emit("connection", socket);
  };
}

/** The client's side. `secureConnect` comes once the other side may be talked to, else an error. */
export function dialTls(source: TlsSource, to: { host: string; port: number }): tls.TLSSocket {
  return tls.connect({
    ...to,
    ...source.options(),
    rejectUnauthorized: !source.trustsAnyone,
    checkServerIdentity(host, certificate) {
      const refusal = source.refusal(certificate as tls.DetailedPeerCertificate);
      return tls.checkServerIdentity(host, certificate) ?? (refusal === undefined ? undefined : new Error(refusal));
    },
    ...(net.isIP(to.host) ? {} : { servername: to.host }), // TLS names no IP address as server name
  });
}
