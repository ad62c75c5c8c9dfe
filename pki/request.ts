import "reflect-metadata";
import * as x509 from "@peculiar/x509";

/** The organizations (groups, in Kubernetes) that a PEM-encoded certificate request asks for. Throws on what is none. */
export function organizationsOf(pem: string): string[] {
  return new x509.Pkcs10CertificateRequest(pem).subjectName.getField("O");
}
