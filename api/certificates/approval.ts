import * as field from "../../apimachinery/field-error.ts";
import { certificateProblem } from "../../pki/request.ts";
import type { CertificateSigningRequest, CertificateSigningRequestCondition } from "../generated/certificates-v1.ts";
import { keepAll, keepAllButStatus, type Part, validateObjectMetaUpdate } from "../kind.ts";

type Conditions = CertificateSigningRequestCondition[];

/** Approving and denying is for `/approval`, the certificate and Failed for `/status`. */
const decisions = new Set(["Approved", "Denied"]);

export const approval: Part<CertificateSigningRequest> = {
  owns: [["status", "conditions"]],
  prepare(request, old, now) {
    const sent = request.status?.conditions ?? [];
    keepAll(request, old);
    const conditions = timed(sent, old, now);
    if (conditions.length > 0) request.status = { ...request.status, conditions };
    else delete request.status?.conditions;
  },
  validate: (request, old) => validate(request, old, false),
};

export const statusPart: Part<CertificateSigningRequest> = {
  owns: [["status", "certificate"] as const, ["status", "conditions"] as const],
  prepare(request, old, now) {
    keepAllButStatus(request, old);
    request.status ??= {};
    const others = (request.status.conditions ?? []).filter(({ type }) => !decisions.has(type));
    const decided = (old.status?.conditions ?? []).filter(({ type }) => decisions.has(type));
    // Clients that do not know of a decision neither make nor lose one.
    const own = (request.status.conditions ?? []).filter(({ type }) => decisions.has(type));
    const conditions = timed(
      [...decided, ...others, ...own.filter((o) => !decided.some((d) => d.type === o.type))],
      old,
      now,
    );
    if (conditions.length > 0) request.status.conditions = conditions;
  },
  validate: (request, old) => validate(request, old, true),
};

/** Each condition says when it was made and when it changed. */
const timed = (conditions: Conditions, old: CertificateSigningRequest, now: string): Conditions =>
  conditions.map((condition) => {
    const before = old.status?.conditions?.find(({ type }) => type === condition.type);
    return {
      ...condition,
      lastUpdateTime: condition.lastUpdateTime || now,
      lastTransitionTime:
        condition.lastTransitionTime ||
        (before?.status === condition.status && before.lastTransitionTime ? before.lastTransitionTime : now),
    };
  });

type Signing = CertificateSigningRequest;

function* validate(request: Signing, old: Signing, status: boolean): field.Problems {
  const at = "status.conditions";
  const { conditions = [], certificate } = request.status ?? {};
  const types = conditions.map(({ type }) => type);
  for (const [i, { type, status: value }] of conditions.entries()) {
    if (!type) yield field.required(`${at}[${i}].type`);
    const known = decisions.has(type) || type === "Failed" ? ["True"] : ["False", "True", "Unknown"];
    yield* field.oneOf(`${at}[${i}].status`, value, known, true);
    if (decisions.has(type) && types.slice(0, i).some((other) => decisions.has(other) && other !== type))
      yield field.invalid(at, type, "Approved and Denied conditions are mutually exclusive");
    if (types.indexOf(type) < i) yield field.duplicate(`${at}[${i}].type`, type);
  }
  const before = old.status?.certificate;
  if (certificate && certificate !== before) {
    const problem = certificateProblem(Buffer.from(certificate, "base64").toString());
    if (problem) yield field.invalid("status.certificate", "<certificate data>", problem);
  }
  const count = (of: CertificateSigningRequest, type: string) =>
    of.status?.conditions?.filter((condition) => condition.type === type).length ?? 0;
  const refuse = (verb: string, type: string) =>
    field.forbidden(at, `updates may not ${verb} a condition of type ${JSON.stringify(type)}`);
  const changes = (type: string) => count(request, type) - count(old, type);
  for (const type of [...decisions, "Failed"]) if (changes(type) < 0) yield refuse("remove", type);
  for (const type of status ? decisions : []) if (changes(type) > 0) yield refuse("add", type);
  if (before && certificate !== before)
    yield field.forbidden("status.certificate", "updates may not modify existing certificate content");
  yield* validateObjectMetaUpdate(request.metadata, old.metadata);
}
