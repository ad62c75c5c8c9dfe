import {
  duplicate,
  forbiddenField,
  invalidValue,
  oneOf,
  type Problems,
  required,
} from "../../apimachinery/field-error.ts";
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
  owns: [
    ["status", "certificate"],
    ["status", "conditions"],
  ],
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

function* validate(request: CertificateSigningRequest, old: CertificateSigningRequest, status: boolean): Problems {
  yield* validateObjectMetaUpdate(request.metadata, old.metadata);
  const conditions = request.status?.conditions ?? [];
  const seen = new Set<string>();
  for (const [i, { type, status: value }] of conditions.entries()) {
    const at = `status.conditions[${i}]`;
    if (!type) yield required(`${at}.type`);
    const known = decisions.has(type) || type === "Failed" ? ["True"] : ["False", "True", "Unknown"];
    yield* oneOf(`${at}.status`, value, known, true);
    if (seen.has(type)) yield duplicate(`${at}.type`, type);
    const other = type === "Approved" ? "Denied" : type === "Denied" ? "Approved" : undefined;
    if (other !== undefined && seen.has(other))
      yield invalidValue(`${at}.type`, type, "Approved and Denied conditions are mutually exclusive");
    seen.add(type);
  }
  const before = new Set(old.status?.conditions?.map(({ type }) => type));
  const refuse = (verb: string, type: string) =>
    forbiddenField("status.conditions", `updates may not ${verb} a condition of type ${JSON.stringify(type)}`);
  for (const type of [...decisions, "Failed"]) {
    if (before.has(type) && !seen.has(type)) yield refuse("remove", type);
    if (status && decisions.has(type) && seen.has(type) && !before.has(type)) yield refuse("add", type);
  }
  const certificate = old.status?.certificate;
  if (certificate && request.status?.certificate !== certificate)
    yield forbiddenField("status.certificate", "updates may not change existing certificate content");
}
