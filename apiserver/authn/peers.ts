import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Peer } from "./authenticator.ts";
import { userOfCertificate } from "./x509.ts";

/** Who is at the other end of each connection, by its client certificate; looked up once a connection. */
export class Peers {
  readonly #known = new WeakMap<object, Peer>();
  readonly #frontProxyCa: X509Certificate | undefined;

  /** `frontProxyCa` signs the certificates of proxies that have authenticated their users themselves. */
  constructor(frontProxyCa?: Buffer) {
    this.#frontProxyCa = frontProxyCa && new X509Certificate(frontProxyCa);
  }

  /** `connection` stands for it: the `socket` of an HTTP/2 request is made anew for each. */
  of(socket: TLSSocket, connection: object = socket): Peer {
    let peer = this.#known.get(connection);
    if (peer === undefined) {
      const address = socket.remoteAddress?.replace(/^::ffff:/, "");
      peer = { ...this.#ofCertificate(socket), address };
      this.#known.set(connection, peer);
    }
    return peer;
  }

  #ofCertificate(socket: TLSSocket): Peer {
    const certificate = socket.getPeerCertificate();
    if (!certificate || Object.keys(certificate).length === 0) return { user: undefined };
    if (!socket.authorized) return { user: "invalid" };
    const user = userOfCertificate(certificate.subject as never) ?? "invalid";
    const ca = this.#frontProxyCa;
    const presented = ca && socket.getPeerX509Certificate();
    if (!ca || !presented?.checkIssued(ca) || !presented.verify(ca.publicKey)) return { user };
    return { user: undefined, proxy: user === "invalid" ? "" : user.name };
  }
}
