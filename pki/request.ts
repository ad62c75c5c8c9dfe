import "reflect-metadata";
import { verify, X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import { attempt } from "../base/attempt.ts";

/** What a PKCS #10 certificate request (RFC 2986) asks for. */
export interface CertificateRequest {
  commonName: string;
  /** Groups, in Kubernetes. */
  organizations: string[];
  dnsNames: string[];
  ipAddresses: string[];
  emails: string[];
  uris: string[];
}

/** Throws on what is none. */
export function parseRequest(pem: string): CertificateRequest {
  const { subjectName, extensions } = new x509.Pkcs10CertificateRequest(pem);
  const names = namesOf(extensions)?.names.items ?? [];
  const of = (type: string) => names.filter((name) => name.type === type).map(({ value }) => value);
  return {
    commonName: subjectName.getField("CN").at(-1) ?? "",
    organizations: subjectName.getField("O"),
    dnsNames: of("dns"),
    ipAddresses: of("ip"),
    emails: of("email"),
    uris: of("url"),
  };
}

/** What Go says when a signature does not hold. */
const broken: Record<string, string> = {
  "RSASSA-PKCS1-v1_5": "crypto/rsa: verification error",
  ECDSA: "x509: ECDSA verification failure",
  Ed25519: "x509: Ed25519 verification failure",
};

/** What is wrong with a request, in upstream's words. Differs: of malformed DER all is said in one way. */
export function requestProblem(pem: string): string | undefined {
  if (!/-----BEGIN CERTIFICATE REQUEST-----/.test(pem)) return "PEM block type must be CERTIFICATE REQUEST";
  try {
    const request = new x509.Pkcs10CertificateRequest(pem);
    const { name, hash } = request.signatureAlgorithm as { name: string; hash?: { name: string } };
    const { tbs } = request as unknown as { tbs: ArrayBuffer };
    const key = { key: Buffer.from(request.publicKey.rawData), format: "der", type: "spki" } as const;
    const holds = verify(hash?.name.replace("-", ""), new Uint8Array(tbs), key, new Uint8Array(request.signature));
    return holds ? undefined : (broken[name] ?? "x509: cannot verify signature: algorithm unimplemented");
  } catch {
    return "asn1: syntax error: data truncated";
  }
}

/** The same of a chain of certificates. */
export function certificateProblem(pem: string): string | undefined {
  const blocks = [...pem.matchAll(/-----BEGIN ([^\n-]+)-----([^-]*)-----END \1-----/g)];
  for (const [block, type, body] of blocks) {
    if (type !== "CERTIFICATE") return `only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(type)}`;
    if (body!.includes(":")) return "no PEM block headers are permitted";
    if (attempt(() => new X509Certificate(block)) === undefined) return "x509: malformed certificate";
  }
  return blocks.length > 0 ? undefined : "must contain at least one CERTIFICATE PEM block";
}

export const organizationsOf = (pem: string): string[] => parseRequest(pem).organizations;

export const namesOf = (extensions: readonly x509.Extension[]): x509.SubjectAlternativeNameExtension | undefined =>
  extensions.find(
    (one): one is x509.SubjectAlternativeNameExtension => one instanceof x509.SubjectAlternativeNameExtension,
  );

/** Usages by Kubernetes' names (RFC 5280, 4.2.1.3 and 4.2.1.12). */
export const keyUsages: Readonly<Record<string, x509.KeyUsageFlags>> = {
  signing: x509.KeyUsageFlags.digitalSignature,
  "digital signature": x509.KeyUsageFlags.digitalSignature,
  "content commitment": x509.KeyUsageFlags.nonRepudiation,
  "key encipherment": x509.KeyUsageFlags.keyEncipherment,
  "key agreement": x509.KeyUsageFlags.keyAgreement,
  "data encipherment": x509.KeyUsageFlags.dataEncipherment,
  "cert sign": x509.KeyUsageFlags.keyCertSign,
  "crl sign": x509.KeyUsageFlags.cRLSign,
  "encipher only": x509.KeyUsageFlags.encipherOnly,
  "decipher only": x509.KeyUsageFlags.decipherOnly,
};

const purpose = "1.3.6.1.5.5.7.3";
export const extendedUsages: Readonly<Record<string, string>> = {
  any: "2.5.29.37.0",
  "server auth": `${purpose}.1`,
  "client auth": `${purpose}.2`,
  "code signing": `${purpose}.3`,
  "email protection": `${purpose}.4`,
  "s/mime": `${purpose}.4`,
  "ipsec end system": `${purpose}.5`,
  "ipsec tunnel": `${purpose}.6`,
  "ipsec user": `${purpose}.7`,
  timestamping: `${purpose}.8`,
  "ocsp signing": `${purpose}.9`,
  "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
  "netscape sgc": "2.16.840.1.113730.4.1",
};
