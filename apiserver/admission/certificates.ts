import type { CertificateSigningRequest } from "../../api/generated/certificates-v1.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { organizationsOf } from "../../pki/request.ts";
import type { Authorizer } from "../authz/authorizer.ts";
import { type Attributes, isFor, type Plugin } from "./chain.ts";

/** CertificateApproval and CertificateSigning: who decides on a request may do so for its signer, by name or domain. */
export const certificateApproval = signerCheck("CertificateApproval", "approve", ["approval"]);
export const certificateSigning = signerCheck("CertificateSigning", "sign", ["status"]);

function signerCheck(name: string, verb: string, subresources: readonly string[]) {
  return (authorizer: Authorizer): Plugin => ({
    name,
    async validate(attributes) {
      if (attributes.operation !== "UPDATE" || !isRequest(attributes)) return;
      if (!subresources.includes(attributes.subresource)) return;
      const [next, old] = [attributes.object, attributes.oldObject] as CertificateSigningRequest[];
      if (verb === "sign" && next!.status?.certificate === old!.status?.certificate) return;
      const { signerName } = old!.spec;
      const { user } = attributes;
      for (const name of [signerName, `${signerName.split("/")[0]}/*`]) {
        const kind = { group: "certificates.k8s.io", version: "*", resource: "signers" };
        const target = { ...kind, namespace: "", subresource: "", name };
        if ((await authorizer.authorize({ user, verb, target })).type === "Allow") return;
      }
      const text = `user not permitted to ${verb} requests with signerName ${JSON.stringify(signerName)}`;
      throw forbidden(attributes.resource, attributes.name, text);
    },
  });
}

/** CertificateSubjectRestriction: nobody asks for membership in the group that may do everything. */
export const certificateSubjectRestriction: Plugin = {
  name: "CertificateSubjectRestriction",
  validate(attributes) {
    if (attributes.operation !== "CREATE" || !isFor(attributes, "certificatesigningrequests", "certificates.k8s.io"))
      return;
    const { signerName, request } = (attributes.object as CertificateSigningRequest).spec;
    if (signerName !== "kubernetes.io/kube-apiserver-client") return;
    let organizations: string[];
    try {
      organizations = organizationsOf(Buffer.from(request, "base64").toString());
    } catch (error) {
      throw forbidden(attributes.resource, attributes.name, `failed to parse CSR: ${(error as Error).message}`);
    }
    if (organizations.includes("system:masters"))
      throw forbidden(
        attributes.resource,
        attributes.name,
        `use of ${signerName} signer with system:masters group is not allowed`,
      );
  },
};

const isRequest = ({ resource }: Attributes) =>
  resource.group === "certificates.k8s.io" && resource.resource === "certificatesigningrequests";
