import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import { humanDuration } from "../../apimachinery/time.ts";
import { requestProblem } from "../../pki/request.ts";
import type { CertificateSigningRequest } from "../generated/certificates-v1.ts";
import { CertificateSigningRequests } from "../generated/resources.ts";
import { ageColumn, column, defineResource, immutableField, keepStatus, nameColumn, orNone, rules } from "../kind.ts";
import { approval, statusPart } from "./approval.ts";

const minSeconds = 600;

/** Who asks is the server's to write: a client's word for it is dropped. */
export const certificateSigningRequests = defineResource(CertificateSigningRequests, {
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
    column("RequestedDuration", ({ spec: { expirationSeconds: s } }) => durationText(s), "How long it shall hold."),
    column("Condition", condition, "What became of it."),
  ],
});

const durationText = (seconds: number | undefined): string =>
  seconds === undefined ? "<none>" : humanDuration(seconds * 1000);

function condition({ status }: CertificateSigningRequest): string {
  const types = new Set(status?.conditions?.map((c) => c.type));
  const texts = types.has("Denied") ? ["Denied"] : types.has("Approved") ? ["Approved"] : ["Pending"];
  if (types.has("Failed")) texts.push("Failed");
  if (status?.certificate) texts.push("Issued");
  return texts.join(",");
}

const usages = new Set([
  ..."signing,digital signature,content commitment,key encipherment,key agreement,data encipherment".split(","),
  ..."cert sign,crl sign,encipher only,decipher only,any,server auth,client auth".split(","),
  ...["code signing", "email protection"],
  ..."s/mime,ipsec end system,ipsec tunnel,ipsec user,timestamping,ocsp signing,microsoft sgc,netscape sgc".split(","),
]);

function* validateSpec({ spec }: CertificateSigningRequest, old?: CertificateSigningRequest): field.Problems {
  // What is stored has been looked at.
  const problem = old ? undefined : requestProblem(Buffer.from(spec.request ?? "", "base64").toString());
  if (problem) yield field.invalid("spec.request", spec.request ?? "", problem);
  const list = spec.usages ?? [];
  if (list.length === 0) yield field.required("spec.usages");
  const known = [...usages].sort();
  yield* field.each(list, "spec.usages", (usage, at) => field.oneOf(at, usage, known, false), { key: String });
  const at = "spec.signerName";
  if (spec.signerName === "kubernetes.io/legacy-unknown")
    yield field.invalid(at, spec.signerName, "the legacy signerName is not allowed via this API version");
  else yield* validateSigner(spec.signerName ?? "", at);
  const { expirationSeconds: seconds = minSeconds } = spec;
  if (seconds < minSeconds) yield field.invalid("spec.expirationSeconds", seconds, tooShort);
}

const tooShort = `may not specify a duration less than ${minSeconds} seconds (10 minutes)`;
const signerForm = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
const maxDomain = 253;
const maxSigner = 571;

function* validateSigner(name: string, at: string): field.Problems {
  if (!name) return yield field.required(at);
  const [domain = "", path, ...more] = name.split("/");
  if (path === undefined || more.length > 0) return yield field.invalid(at, name, signerForm);
  if (domain.length > maxDomain) yield field.tooLong(at, maxDomain);
  yield* field.shaped(at, domain, labelsOf(dns1123Label));
  if (!domain.includes("."))
    yield field.invalid(at, domain, "should be a domain with at least two segments separated by dots");
  yield* field.shaped(at, path, labelsOf(dns1123Subdomain));
  if (name.length > maxSigner) yield field.tooLong(at, maxSigner);
}

/** What is wrong with the first bad label. */
const labelsOf =
  (shape: (label: string) => string[]) =>
  (text: string): string[] => {
    const bad = text.split(".").find((label) => shape(label).length > 0);
    return bad === undefined ? [] : shape(bad).map((problem) => `validating label ${JSON.stringify(bad)}: ${problem}`);
  };
