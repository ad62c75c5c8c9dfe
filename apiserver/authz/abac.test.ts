import assert from "node:assert/strict";
import { test } from "vitest";
import { abacAuthorizer } from "./abac.ts";
import type { Attributes } from "./authorizer.ts";

const policy = (spec: object) =>
  JSON.stringify({ apiVersion: "abac.authorization.kubernetes.io/v1beta1", kind: "Policy", spec });
const all = { namespace: "*", resource: "*", apiGroup: "*" };
const authorizer = abacAuthorizer(
  [
    "# a comment",
    policy({ user: "alice", ...all }),
    policy({ user: "bob", namespace: "projectCaribou", resource: "pods", readonly: true }),
    policy({ group: "ops", namespace: "*", resource: "deployments", apiGroup: "apps" }),
    policy({ user: "*", nonResourcePath: "/version*", readonly: true }),
    "",
  ].join("\n"),
);

function attributes(who: string, verb: string, what: string): Attributes {
  const [name, ...groups] = who.split("+") as [string, ...string[]];
  const user = { name, groups };
  if (what.startsWith("/")) return { user, verb, path: what };
  const [resource, namespace, group = ""] = what.split(" ") as [string, string, string?];
  return { user, verb, target: { group, version: "v1", namespace, resource, name: "", subresource: "" } };
}

test.each([
  ["everything but paths", "alice", "delete", "pods ns", "Allow"],
  ["paths are apart", "alice", "get", "/metrics", "NoOpinion"],
  ["reading only", "bob", "list", "pods projectCaribou", "Allow"],
  ["no write", "bob", "create", "pods projectCaribou", "NoOpinion"],
  ["no other namespace", "bob", "get", "pods other", "NoOpinion"],
  ["no other resource", "bob", "get", "secrets projectCaribou", "NoOpinion"],
  ["a group's", "carol+ops", "create", "deployments ns apps", "Allow"],
  ["no other API group", "carol+ops", "create", "deployments ns other", "NoOpinion"],
  ["a path for everyone who is known", "carol+system:authenticated", "get", "/version/x", "Allow"],
  ["not for strangers", "system:anonymous+system:unauthenticated", "get", "/version", "NoOpinion"],
])("a policy: %s", (_name, who, verb, what, type) => {
  assert.deepEqual(authorizer.authorize(attributes(who, verb, what)), {
    type,
    reason: type === "Allow" ? "" : "No policy matched.",
  });
});

test("what a user may do is told as rules", () => {
  assert.deepEqual(authorizer.rulesFor!({ name: "bob", groups: [] }, "projectCaribou").rules, [
    { verbs: ["get", "list", "watch"], apiGroups: [""], resources: ["pods"] },
  ]);
});

test.each([
  ["{", /error reading policy file, line 2/],
  ['{"apiVersion":"v1","kind":"Policy"}', /no kind "Policy" is registered for version "v1"/],
])("the line %s is refused", (line, message) => {
  assert.throws(() => abacAuthorizer(`${policy({ user: "a" })}\n${line}`), message);
});
