import "reflect-metadata";
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { extendedUsages, keyUsages, namesOf } from "./request.ts";

/**
 * A certificate authority and the leaf certificates that it signs: ECDSA P-256, X.509 v3 (RFC 5280). The names in the
 * subject are what Kubernetes reads: CN is the user, each O a group.
 */
export interface Authority {
  /** PEM. */
  cert: string;
  key: string;
  issue(request: LeafRequest): Promise<KeyPair>;
  /**
   * Signs a certificate request as it is, for usages by Kubernetes' names; PEM. It ends with the authority at the latest.
   * Throws an Error for a request that its own key has not signed.
   */
  sign(request: string, usages: readonly string[], seconds: number): Promise<string>;
}

export interface KeyPair {
  /** PEM; the key is PKCS #8. */
  cert: string;
  key: string;
}

export interface LeafRequest {
  commonName: string;
  organizations?: string[];
  dnsNames?: string[];
  ipAddresses?: string[];
  usages: ("client" | "server")[];
}

const dayMs = 86_400_000;
const authorityDays = 3650;
const leafDays = 365;
const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const crypto = webcrypto;
x509.cryptoProvider.set(crypto);

type CryptoKey = webcrypto.CryptoKey;
type CryptoKeyPair = webcrypto.CryptoKeyPair;

export async function createAuthority(commonName: string, clock: Clock = systemClock): Promise<Authority> {
  const keys = await generateKeys();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [commonName] }],
    ...validity(clock, authorityDays),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment | x509.KeyUsageFlags.keyCertSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authority(cert, keys.privateKey, await keyToPem(keys.privateKey), clock);
}

/** An authority from its PEM files. Throws when certificate and key do not parse. */
export async function loadAuthority(pair: KeyPair, clock: Clock = systemClock): Promise<Authority> {
  const der = x509.PemConverter.decodeFirst(pair.key);
  const privateKey = await crypto.subtle.importKey("pkcs8", der, algorithm, true, ["sign"]);
  return authority(new x509.X509Certificate(pair.cert), privateKey, pair.key, clock);
}

function authority(cert: x509.X509Certificate, signingKey: CryptoKey, keyPem: string, clock: Clock): Authority {
  return {
    cert: pem(cert),
    key: keyPem,
    issue: (request) => leaf(request, leafDays, clock, { cert, signingKey }),
    async sign(request, usages, seconds) {
      const csr = new x509.Pkcs10CertificateRequest(request);
      if (!(await csr.verify())) throw new Error("unable to verify certificate request signature");
      const { notBefore, notAfter } = validity(clock, seconds / 86_400);
      const flags = usages.reduce((sum, usage) => sum | (keyUsages[usage] ?? 0), 0);
      const extended = [...new Set(usages.flatMap((usage) => extendedUsages[usage] ?? []))];
      const names = namesOf(csr.extensions);
      const signed = await x509.X509CertificateGenerator.create({
        serialNumber: serialNumber(),
        subject: csr.subjectName.toJSON(),
        issuer: cert.subject,
        notBefore,
        notAfter: new Date(Math.min(notAfter.getTime(), cert.notAfter.getTime())),
        signingAlgorithm: algorithm,
        publicKey: csr.publicKey,
        signingKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          ...(flags ? [new x509.KeyUsagesExtension(flags, true)] : []),
          ...(extended.length > 0 ? [new x509.ExtendedKeyUsageExtension(extended)] : []),
          await x509.AuthorityKeyIdentifierExtension.create(cert),
          ...(names ? [new x509.SubjectAlternativeNameExtension(names.names.toJSON(), names.critical)] : []),
        ],
      });
      return pem(signed);
    },
  };
}

/** A leaf that nobody but itself vouches for. */
export function createSelfSigned(request: LeafRequest, days: number, clock: Clock = systemClock): Promise<KeyPair> {
  return leaf(request, days, clock, undefined);
}

async function leaf(
  { commonName, organizations = [], dnsNames = [], ipAddresses = [], usages }: LeafRequest,
  days: number,
  clock: Clock,
  issuer: { cert: x509.X509Certificate; signingKey: CryptoKey } | undefined,
): Promise<KeyPair> {
  const keys = await generateKeys();
  const names = [
    ...dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...ipAddresses.map((value) => ({ type: "ip" as const, value })),
  ];
  const subject = [...organizations.map((group) => ({ O: [group] })), { CN: [commonName] }];
  const signed = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: issuer?.cert.subject ?? subject,
    ...validity(clock, days),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: issuer?.signingKey ?? keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension(usages.map((usage) => extendedUsages[`${usage} auth`]!)),
      ...(issuer ? [await x509.AuthorityKeyIdentifierExtension.create(issuer.cert)] : []),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return { cert: pem(signed), key: await keyToPem(keys.privateKey) };
}

function generateKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

/** Clocks of machines differ a little: valid from five minutes ago. */
function validity(clock: Clock, days: number): { notBefore: Date; notAfter: Date } {
  const now = clock.now();
  return { notBefore: new Date(now - 300_000), notAfter: new Date(now + days * dayMs) };
}

/** 16 random bytes, positive and never zero (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

async function keyToPem(key: CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}

function pem(cert: x509.X509Certificate): string {
  return `${cert.toString("pem")}\n`;
}
