import "reflect-metadata";
import * as x509 from "@peculiar/x509";

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
