import type { Logger } from "../base/logger.ts";
import { GrpcFront } from "../net/grpc-front.ts";
import type { TlsMaterial } from "../net/tls.ts";
import { Peers } from "./authn/peers.ts";
import { HttpServer } from "./http/server.ts";
import type { Apiserver } from "./server.ts";

/**
 * Both fronts with one serving certificate. Certificates of clients are asked for and not demanded: who has none may
 * bring a token, and gets a Status 401 instead of a broken handshake.
 */
export function frontsOf(
  apiserver: Apiserver,
  serving: TlsMaterial,
  log: Logger,
  frontProxyCa?: Buffer,
): { http: HttpServer; grpc: GrpcFront } {
  const tls = frontProxyCa ? { ...serving, ca: Buffer.concat([serving.ca, Buffer.from("\n"), frontProxyCa]) } : serving;
  const peers = new Peers(frontProxyCa);
  const grpc = new GrpcFront({ tls, clientCertificates: "request", maxMessageBytes, maxUnfinishedBytes });
  apiserver.addTo(grpc, peers);
  return { http: new HttpServer(tls, apiserver.httpHandler, log, peers), grpc };
}

/** Room for the largest body (`maxBodyBytes`) and what is around it: who sends more than that gets a Status. */
const maxMessageBytes = 4 * 1024 * 1024;
/** Who a caller is comes out when his request is whole. */
const maxUnfinishedBytes = 64 * 1024 * 1024;
