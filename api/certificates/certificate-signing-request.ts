import { duplicate, invalidValue, notSupported, type Problems, required } from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import { humanDuration } from "../../apimachinery/time.ts";
import { ageColumn, column, nameColumn, orNone } from "../columns.ts";
import type { CertificateSigningRequest } from "../generated/certificates-v1.ts";
import { CertificateSigningRequests } from "../generated/resources.ts";
import { immutableField, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { keepStatus } from "../strategy.ts";
import { approval, statusPart } from "./approval.ts";

const minSeconds = 600;

/** Who asks is the server's to write: a client's word for it is dropped. */
export const certificateSigningRequests: Resource<CertificateSigningRequest> = defineResource(
  CertificateSigningRequests,
  {
    shortNames: ["csr"],
    subresources: ["approval", "status"],
    parts: { approval, status: statusPart },
    selectable: { "spec.signerName": "" },
    prepareForCreate(request, creator) {
      request.status = {};
      for (const key of ["username", "uid", "groups", "extra"] as const) delete request.spec[key];
      if (creator === undefined) return;
      const { name, uid, groups, extra = {} } = creator;
      Object.assign(request.spec, { username: name, groups: [...groups], ...(uid ? { uid } : {}) });
      if (Object.keys(extra).length > 0) request.spec.extra = structuredClone(extra) as Record<string, string[]>;
    },
    prepareForUpdate(request, old) {
      keepStatus(request, old);
      request.spec = structuredClone(old.spec);
    },
    ...rules({ namespaced: false, name: () => [] }, validateSpec, ({ spec }, old) =>
      immutableField("spec", spec, old.spec),
    ),
    columns: [
      nameColumn,
      ageColumn,
      column("SignerName", ({ spec }) => orNone(spec.signerName), "Who is asked to sign."),
      column("Requestor", ({ spec }) => spec.username ?? "", "Who asks."),
      column(
        "RequestedDuration",
        ({ spec }) => (spec.expirationSeconds === undefined ? "<none>" : humanDuration(spec.expirationSeconds * 1000)),
        "How long it shall hold.",
      ),
      column("Condition", condition, "What became of it."),
    ],
  },
);

function condition({ status }: CertificateSigningRequest): string {
  const types = new Set(status?.conditions?.map((c) => c.type));
  const texts = types.has("Denied") ? ["Denied"] : types.has("Approved") ? ["Approved"] : ["Pending"];
  if (types.has("Failed")) texts.push("Failed");
  if (status?.certificate) texts.push("Issued");
  return texts.join(",");
}

const usages = new Set([
  ..."signing,digital signature,content commitment,key encipherment,key agreement,data encipherment".split(","),
  ..."cert sign,crl sign,encipher only,decipher only,any,server auth,client auth,code signing,email protection".split(
    ",",
  ),
  ..."s/mime,ipsec end system,ipsec tunnel,ipsec user,timestamping,ocsp signing,microsoft sgc,netscape sgc".split(","),
]);

function* validateSpec({ spec }: CertificateSigningRequest): Problems {
  const pem = Buffer.from(spec.request ?? "", "base64").toString("latin1");
  if (!/-----BEGIN CERTIFICATE REQUEST-----[\s\S]+-----END CERTIFICATE REQUEST-----/.test(pem))
    yield invalidValue("spec.request", spec.request ?? "", "PEM block type must be CERTIFICATE REQUEST");
  const list = spec.usages ?? [];
  if (list.length === 0) yield required("spec.usages");
  for (const [i, usage] of list.entries()) {
    if (!usages.has(usage)) yield notSupported(`spec.usages[${i}]`, usage, [...usages].sort());
    if (list.indexOf(usage) < i) yield duplicate(`spec.usages[${i}]`, usage);
  }
  if (spec.signerName === "kubernetes.io/legacy-unknown")
    yield invalidValue("spec.signerName", spec.signerName, "the legacy signerName is not allowed via this API version");
  else yield* validateSigner(spec.signerName);
  const seconds = spec.expirationSeconds;
  if (seconds !== undefined && seconds < minSeconds)
    yield invalidValue(
      "spec.expirationSeconds",
      seconds,
      `may not specify a duration less than ${minSeconds} seconds (10 minutes)`,
    );
}

function* validateSigner(name: string | undefined): Problems {
  const at = "spec.signerName";
  if (!name) return yield required(at);
  const [domain = "", path = "", ...more] = name.split("/");
  if (!path || more.length > 0)
    return yield invalidValue(
      at,
      name,
      'must be a fully qualified domain and path of the form "example.com/signer-name"',
    );
  yield* [...dns1123Subdomain(domain), ...dns1123Subdomain(path)].map((p) => invalidValue(at, name, p));
  if (!domain.includes("."))
    yield invalidValue(at, name, "should be a domain with at least two segments separated by dots");
}
