import type { PolicyRule } from "../../api/generated/rbac-v1.ts";
import { forbidden, type StatusError } from "../../apimachinery/status.ts";
import type { Target, User } from "../request.ts";

/** What is asked: a verb on a resource, or on a path. */
export type Attributes =
  | { user: User; verb: string; target: Target; fieldSelector?: string | undefined; labelSelector?: string | undefined }
  | { user: User; verb: string; path: string };

/** NoOpinion asks the next authorizer; when none allows, the answer is 403 with all reasons. */
export interface Decision {
  type: "Allow" | "NoOpinion" | "Deny";
  reason: string;
}

/** The built-in authorizers decide from memory, at once; only webhooks make a promise. */
export interface Authorizer {
  authorize(attributes: Attributes): Decision | Promise<Decision>;
  /** What a user may do in a namespace, as far as this authorizer can tell: for SelfSubjectRulesReview. */
  rulesFor?(user: User, namespace: string): Rules;
}

export interface Rules {
  rules: readonly PolicyRule[];
  /** There may be more than these. */
  incomplete: boolean;
  errors: readonly string[];
}

export const noOpinion: Decision = { type: "NoOpinion", reason: "" };

/** Asks one after the other until one allows or denies (`--authorization-mode`). */
export function inOrder(authorizers: readonly Authorizer[]): Authorizer & Required<Authorizer> {
  function ask(from: number, attributes: Attributes, reasons: readonly string[]): Decision | Promise<Decision> {
    const authorizer = authorizers[from];
    if (authorizer === undefined) return { type: "NoOpinion", reason: reasons.join("\n") };
    const go = (decision: Decision) => {
      if (decision.type !== "NoOpinion") return decision;
      return ask(from + 1, attributes, decision.reason ? [...reasons, decision.reason] : reasons);
    };
    const decision = authorizer.authorize(attributes);
    return decision instanceof Promise ? decision.then(go) : go(decision);
  }
  return {
    authorize: (attributes) => ask(0, attributes, []),
    rulesFor(user, namespace) {
      const all = authorizers.flatMap((authorizer) => authorizer.rulesFor?.(user, namespace) ?? []);
      return {
        rules: all.flatMap(({ rules }) => rules),
        incomplete: all.some(({ incomplete }) => incomplete),
        errors: all.flatMap(({ errors }) => errors),
      };
    },
  };
}

/** Members of system:masters are never locked out, whatever the roles say; as upstream's privileged group. */
export const superusers: Authorizer = {
  authorize: ({ user }) => (isSuperuser(user) ? { type: "Allow", reason: "" } : noOpinion),
};

export const isSuperuser = (user: User): boolean => user.groups.includes("system:masters");

export const fullAuthority: readonly PolicyRule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

/** Upstream's 403. */
export function forbiddenRequest(attributes: Attributes, { reason }: Decision): StatusError {
  const { user, verb } = attributes;
  const who = `User ${JSON.stringify(user.name)} cannot ${verb}`;
  const because = reason ? `: ${reason}` : "";
  if ("path" in attributes)
    return forbidden(
      { group: "", resource: "" },
      "",
      `${sanitize(`${who} path ${JSON.stringify(attributes.path)}`)}${because}`,
    );
  const { group, resource, subresource, namespace, name } = attributes.target;
  const full = subresource ? `${resource}/${subresource}` : resource;
  const scope = namespace ? `in the namespace ${JSON.stringify(namespace)}` : "at the cluster scope";
  const text = `${who} resource ${JSON.stringify(full)} in API group ${JSON.stringify(group)} ${scope}`;
  return forbidden({ group, resource }, name, `${sanitize(text)}${because}`);
}

const escapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const sanitize = (text: string) => text.replace(/[&<>]/g, (char) => escapes[char]!);
