import type { Problems } from "../../apimachinery/field-error.ts";
import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { ageColumn, column, integer, nameColumn, unset } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import type * as v1 from "../generated/admissionregistration-v1.ts";
import { ValidatingAdmissionPolicies, ValidatingAdmissionPolicyBindings } from "../generated/resources.ts";
import { clusterWide, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { generationOnly, startingStatus } from "../strategy.ts";
import { compileProblems } from "./expressions.ts";
import { defaultMatch, validateConditions, validateMatch } from "./rules.ts";

export const validatingAdmissionPolicies: Resource<v1.ValidatingAdmissionPolicy> = defineResource(
  ValidatingAdmissionPolicies,
  {
    categories: ["api-extensions"],
    unconditionalUpdate: false,
    subresources: ["status"],
    defaults({ spec }) {
      spec.failurePolicy ??= "Fail";
      if (spec.matchConstraints) defaultMatch(spec.matchConstraints);
    },
    ...startingStatus(() => ({})),
    ...rules(clusterWide, validatePolicy),
    columns: [
      nameColumn,
      column("Validations", ({ spec }) => spec.validations?.length ?? 0, "How many it has.", integer),
      column(
        "ParamKind",
        ({ spec: { paramKind } }) => (paramKind ? `${paramKind.apiVersion}/${paramKind.kind}` : unset),
        "What its bindings give it.",
      ),
      ageColumn,
    ],
  },
);

const reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];

function* validatePolicy({ spec }: v1.ValidatingAdmissionPolicy): Problems {
  if (!spec.failurePolicy) yield field.required("spec.failurePolicy");
  else yield* oneOf("spec.failurePolicy", spec.failurePolicy, ["Fail", "Ignore"], false);
  if (spec.paramKind)
    for (const key of ["apiVersion", "kind"] as const)
      if (!spec.paramKind[key]) yield field.required(`spec.paramKind.${key}`);
  if (!spec.matchConstraints) yield field.required("spec.matchConstraints");
  else {
    yield* validateMatch(spec.matchConstraints, "spec.matchConstraints");
    if (!spec.matchConstraints.resourceRules?.length) yield field.required("spec.matchConstraints.resourceRules");
  }
  yield* validateConditions(spec.matchConditions, "spec.matchConditions");
  const { validations = [], auditAnnotations = [], variables = [] } = spec;
  if (validations.length + auditAnnotations.length === 0) {
    const text = "validations or auditAnnotations must be non-empty";
    yield field.required("spec.validations", text);
    yield field.required("spec.auditAnnotations", text);
  }
  for (const [i, { expression, reason, message, messageExpression }] of validations.entries()) {
    const at = `spec.validations[${i}]`;
    if (!expression?.trim()) yield field.required(`${at}.expression`, "expression is not specified");
    else yield* compileProblems(`${at}.expression`, expression, "bool");
    if (messageExpression) yield* compileProblems(`${at}.messageExpression`, messageExpression, "string");
    if (message?.includes("\n"))
      yield field.invalidValue(`${at}.message`, message, "message must not contain line breaks");
    if (reason !== undefined) yield* oneOf(`${at}.reason`, reason, reasons, false);
  }
  for (const [i, { key, valueExpression }] of auditAnnotations.entries()) {
    const at = `spec.auditAnnotations[${i}]`;
    yield* field.shaped(`${at}.key`, key ?? "", qualifiedName);
    if (!valueExpression?.trim()) yield field.required(`${at}.valueExpression`, "valueExpression is not specified");
    else yield* compileProblems(`${at}.valueExpression`, valueExpression, "string", "null");
    if (auditAnnotations.findIndex((a) => a.key === key) < i) yield field.duplicate(`${at}.key`, key);
  }
  for (const [i, { name, expression }] of variables.entries()) {
    const at = `spec.variables[${i}]`;
    if (!name) yield field.required(`${at}.name`, "name is not specified");
    else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      yield field.invalidValue(`${at}.name`, name, "name is not a valid CEL identifier");
    if (!expression?.trim()) yield field.required(`${at}.expression`, "expression is not specified");
    else yield* compileProblems(`${at}.expression`, expression);
  }
}

export const validatingAdmissionPolicyBindings: Resource<v1.ValidatingAdmissionPolicyBinding> = defineResource(
  ValidatingAdmissionPolicyBindings,
  {
    categories: ["api-extensions"],
    unconditionalUpdate: false,
    defaults({ spec }) {
      if (spec.matchResources) defaultMatch(spec.matchResources);
    },
    ...generationOnly,
    ...rules(clusterWide, validateBinding),
    columns: [
      nameColumn,
      column("PolicyName", ({ spec }) => spec.policyName ?? "", "The policy it puts into force."),
      column("ParamRef", ({ spec }) => paramText(spec.paramRef), "What it gives the policy."),
      ageColumn,
    ],
  },
);

/** Selectors as Go prints them. */
function paramText({ name, namespace, selector }: Partial<v1.ParamRef> = {}): string {
  if (name) return `${namespace || "*"}/${name}`;
  if (!selector) return unset;
  const labels = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => `${key}: ${value},`);
  const expressions = (selector.matchExpressions ?? []).map(
    ({ key, operator, values = [] }) =>
      `LabelSelectorRequirement{Key:${key},Operator:${operator},Values:[${values.join(" ")}],},`,
  );
  return `&LabelSelector{MatchLabels:map[string]string{${labels.sort().join("")}},MatchExpressions:[]LabelSelectorRequirement{${expressions.join("")}},}`;
}

const actions = ["Audit", "Deny", "Warn"];

const denyAndWarn =
  "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";

function* validateBinding({ spec }: v1.ValidatingAdmissionPolicyBinding): Problems {
  yield* field.requiredName("spec.policyName", spec.policyName, dns1123Subdomain);
  const { paramRef, matchResources } = spec;
  if (paramRef) {
    if (!paramRef.name && !paramRef.selector)
      yield field.required("spec.paramRef", "one of name or selector must be specified");
    if (paramRef.name && paramRef.selector)
      yield field.forbiddenField("spec.paramRef.name", "name and selector are mutually exclusive");
    yield* validateLabelSelector(paramRef.selector, "spec.paramRef.selector");
    const action = paramRef.parameterNotFoundAction;
    if (!action) yield field.required("spec.paramRef.parameterNotFoundAction");
    else yield* oneOf("spec.paramRef.parameterNotFoundAction", action, ["Deny", "Allow"], false);
  }
  if (matchResources) yield* validateMatch(matchResources, "spec.matchResources");
  const given = spec.validationActions ?? [];
  if (given.length === 0) yield field.required("spec.validationActions");
  for (const [i, action] of given.entries()) {
    yield* oneOf(`spec.validationActions[${i}]`, action, actions, false);
    if (given.indexOf(action) < i) yield field.duplicate(`spec.validationActions[${i}]`, action);
  }
  if (given.includes("Deny") && given.includes("Warn"))
    yield field.invalidValue("spec.validationActions", given, denyAndWarn);
}
