import { X509Certificate } from "node:crypto";
import type {
  CertificateSigningRequest,
  CertificateSigningRequestCondition,
} from "../../api/generated/certificates-v1.ts";
import { attempt } from "../../base/attempt.ts";
import { type CertificateRequest, parseRequest } from "../../pki/request.ts";
import type { RequeueAfter } from "../runner.ts";

export interface State {
  request: CertificateSigningRequest;
  now: number;
  /** --cluster-signing-duration in seconds: no certificate is for longer. Undefined: nobody here signs. */
  longest: number | undefined;
}

export type Action =
  /** Approve, if the one who asks may create one of these subresources of requests. */
  | { type: "Review"; reviews: { subresource: string; message: string }[] }
  | { type: "Sign"; usages: string[]; seconds: number }
  | { type: "Fail"; message: string }
  | { type: "Delete" };

/**
 * What becomes of a request: the requests of kubelets for client certificates are approved (pkg/controller/certificates/
 * approver), what is approved is signed (signer), and what is over goes (cleaner).
 * Differs: it goes when its time is over, not at the next hour.
 */
export function reconcile({ request, now, longest }: State): (Action | RequeueAfter)[] {
  const { spec, status, metadata } = request;
  const over = endOf(request);
  if (over !== undefined && over < now) return [{ type: "Delete" }];
  const later: RequeueAfter[] = over === undefined ? [] : [{ type: "RequeueAfter", ms: over - now + 1 }];
  const has = (type: string) => status?.conditions?.some((condition) => condition.type === type) ?? false;
  if (status?.certificate || has("Denied") || has("Failed") || metadata.deletionTimestamp) return later;
  const asked = attempt(() => parseRequest(Buffer.from(spec.request, "base64").toString()));
  if (asked === undefined) return later; // validation lets none pass
  if (has("Approved")) {
    const problem = signable(spec.signerName, asked, spec.usages ?? []);
    if (longest === undefined || problem === undefined) return later;
    if (problem !== "") return [{ type: "Fail", message: problem }, ...later];
    const seconds = Math.min(Math.max(spec.expirationSeconds ?? longest, shortestSeconds), longest);
    return [{ type: "Sign", usages: spec.usages ?? [], seconds }, ...later];
  }
  if (spec.signerName !== kubeletClient || kubeletProblem(asked, spec.usages ?? [], false) !== "") return later;
  const reviews = [];
  const text = (what: string) => `Auto approving ${what} certificate after SubjectAccessReview.`;
  if (spec.username === asked.commonName)
    reviews.push({ subresource: "selfnodeclient", message: text("self kubelet client") });
  reviews.push({ subresource: "nodeclient", message: text("kubelet client") });
  return [{ type: "Review", reviews }, ...later];
}

const kubeletClient = "kubernetes.io/kube-apiserver-client-kubelet";

/** Why this signer does not sign it; "": it does; undefined: the signer is none of ours. */
export function signable(signer: string, asked: CertificateRequest, usages: readonly string[]): string | undefined {
  if (signer === "kubernetes.io/legacy-unknown") return "";
  if (signer === kubeletClient) return kubeletProblem(asked, usages, false);
  if (signer === "kubernetes.io/kubelet-serving") return kubeletProblem(asked, usages, true);
  if (signer !== "kubernetes.io/kube-apiserver-client") return undefined;
  const bad = usages.find((usage) => !["client auth", "digital signature", "key encipherment"].includes(usage));
  if (bad !== undefined) return `invalid usage for client certificate: ${bad}`;
  return usages.includes("client auth") ? "" : "missing required usage for client certificate: client auth";
}

/** pkg/apis/certificates/helpers.go: what a kubelet may ask for. */
function kubeletProblem(asked: CertificateRequest, usages: readonly string[], serving: boolean): string {
  const { organizations, commonName, dnsNames, ipAddresses, emails, uris } = asked;
  if (organizations.length !== 1 || organizations[0] !== "system:nodes")
    return "subject organization is not system:nodes";
  if (serving && dnsNames.length + ipAddresses.length === 0) return "DNS or IP subjectAltName is required";
  if (!serving && dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (emails.length > 0) return "Email subjectAltNames are not allowed";
  if (!serving && ipAddresses.length > 0) return "IP subjectAltNames are not allowed";
  if (uris.length > 0) return "URI subjectAltNames are not allowed";
  const needed = [...(serving ? [] : ["client auth"]), "digital signature", ...(serving ? ["server auth"] : [])];
  const given = [...new Set(usages)].filter((usage) => usage !== "key encipherment").sort();
  if (given.join() !== needed.join())
    return `usages did not match [${[...needed, "key encipherment"].sort().join(" ")}]`;
  return commonName.startsWith("system:node:") ? "" : "subject common name does not begin with system:node:";
}

/** When it may go: an hour after what was decided, a day after nothing was, and at once when its certificate ends. */
function endOf({ metadata, status }: CertificateSigningRequest): number | undefined {
  const conditions = status?.conditions ?? [];
  if (conditions.length === 0) return Date.parse(metadata.creationTimestamp!) + 24 * hourMs;
  const ends = conditions
    .filter(({ type }) => type === "Denied" || type === "Failed" || (type === "Approved" && status?.certificate))
    .map(({ lastUpdateTime }) => Date.parse(lastUpdateTime ?? "") + hourMs);
  const certificate = Buffer.from(status?.certificate ?? "", "base64");
  if (certificate.length > 0 && conditions.some(({ type }) => type === "Approved"))
    // One signed by another may be so in its own way.
    ends.push(Date.parse(attempt(() => new X509Certificate(certificate).validTo) ?? ""));
  const known = ends.filter((end) => !Number.isNaN(end));
  return known.length > 0 ? Math.min(...known) : undefined;
}

export function withCondition(
  request: CertificateSigningRequest,
  type: "Approved" | "Failed",
  reason: string,
  message: string,
): CertificateSigningRequest {
  const condition = { type, status: "True", reason, message } as CertificateSigningRequestCondition;
  return { ...request, status: { ...request.status, conditions: [...(request.status?.conditions ?? []), condition] } };
}

const hourMs = 3_600_000;
/** Twice what certificates are dated back, as upstream. */
const shortestSeconds = 600;
