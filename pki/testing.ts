import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { Authority } from "./authority.ts";

/** A revocation list of `authority` that names these certificates (PEM), as PEM. For tests. */
export async function revocationList(authority: Authority, certificates: readonly string[]): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const der = x509.PemConverter.decodeFirst(authority.key);
  const signingKey = await webcrypto.subtle.importKey("pkcs8", der, algorithm, true, ["sign"]);
  const list = await x509.X509CrlGenerator.create({
    issuer: new x509.X509Certificate(authority.cert).subject,
    thisUpdate: new Date(),
    nextUpdate: new Date(Date.now() + 86_400_000),
    entries: certificates.map((pem) => ({
      serialNumber: new x509.X509Certificate(pem).serialNumber,
      revocationDate: new Date(),
    })),
    signingAlgorithm: algorithm,
    signingKey,
  });
  return list.toString("pem");
}
