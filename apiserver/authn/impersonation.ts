import { internalError } from "../../apimachinery/status.ts";
import type { Attributes } from "../authz/authorizer.ts";
import type { User } from "../request.ts";
import { extraOf, type Headers, valuesOf, withGroup } from "./authenticator.ts";

/**
 * Acting as someone else (`kubectl --as`): who it is, and what the real user must be allowed for it, each with the verb
 * `impersonate`. Undefined when the headers ask for nothing. Throws when they name no user.
 */
export function impersonation(user: User, headers: Headers): { as: User; needs: Attributes[] } | undefined {
  const name = String(headers["impersonate-user"] ?? "");
  const groups = valuesOf(headers, "impersonate-group").filter(Boolean);
  const uid = String(headers["impersonate-uid"] ?? "");
  const extra = extraOf(headers, ["impersonate-extra-"]);
  if (name === "") {
    if (groups.length === 0 && uid === "" && extra === undefined) return undefined;
    throw internalError(new Error("requested impersonation without impersonating a user"));
  }
  const need = (
    resource: string,
    what: string,
    more: { group?: string; namespace?: string; subresource?: string } = {},
  ) => ({
    user,
    verb: "impersonate",
    target: { group: "", version: "v1", namespace: "", resource, name: what, subresource: "", ...more },
  });
  const authentication = { group: "authentication.k8s.io" };
  const [, namespace, account] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name) ?? [];
  const isAccount = namespace !== undefined;
  const needs = [
    isAccount ? need("serviceaccounts", account!, { namespace }) : need("users", name),
    ...groups.map((group) => need("groups", group)),
    ...(uid ? [need("uids", uid, authentication)] : []),
    ...Object.entries(extra ?? {}).flatMap(([key, values]) =>
      values.map((value) => need("userextras", value, { ...authentication, subresource: key })),
    ),
  ];
  const own =
    isAccount && groups.length === 0 ? ["system:serviceaccounts", `system:serviceaccounts:${namespace}`] : groups;
  const as: User = { name, uid: uid || undefined, groups: own, extra };
  if (name === "system:anonymous") return { as: own.length > 0 ? as : withGroup(as, "system:unauthenticated"), needs };
  return { as: own.includes("system:unauthenticated") ? as : withGroup(as, "system:authenticated"), needs };
}
