import { duplicate, type FieldError, forbiddenField, invalidValue, required } from "../../apimachinery/field-error.ts";
import { dns1123Subdomain, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { ageColumn, column, integer, nameColumn, unset } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import type {
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
} from "../generated/admissionregistration-v1.ts";
import { ValidatingAdmissionPolicies, ValidatingAdmissionPolicyBindings } from "../generated/resources.ts";
import { clusterWide, rules } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { generationOnly, startingStatus } from "../strategy.ts";
import { compileProblems } from "./expressions.ts";
import { defaultMatch, validateConditions, validateMatch } from "./rules.ts";

export const validatingAdmissionPolicies: Resource<ValidatingAdmissionPolicy> = defineResource(
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

function validatePolicy({ spec }: ValidatingAdmissionPolicy): FieldError[] {
  const errors: FieldError[] = [];
  if (!spec.failurePolicy) errors.push(required("spec.failurePolicy"));
  else errors.push(...oneOf("spec.failurePolicy", spec.failurePolicy, ["Fail", "Ignore"], false));
  if (spec.paramKind)
    for (const key of ["apiVersion", "kind"] as const)
      if (!spec.paramKind[key]) errors.push(required(`spec.paramKind.${key}`));
  if (!spec.matchConstraints) errors.push(required("spec.matchConstraints"));
  else {
    errors.push(...validateMatch(spec.matchConstraints, "spec.matchConstraints"));
    if (!spec.matchConstraints.resourceRules?.length) errors.push(required("spec.matchConstraints.resourceRules"));
  }
  errors.push(...validateConditions(spec.matchConditions, "spec.matchConditions"));
  const { validations = [], auditAnnotations = [], variables = [] } = spec;
  if (validations.length + auditAnnotations.length === 0) {
    const text = "validations or auditAnnotations must be non-empty";
    errors.push(required("spec.validations", text), required("spec.auditAnnotations", text));
  }
  for (const [i, { expression, reason, message, messageExpression }] of validations.entries()) {
    const at = `spec.validations[${i}]`;
    if (!expression?.trim()) errors.push(required(`${at}.expression`, "expression is not specified"));
    else errors.push(...compileProblems(`${at}.expression`, expression, "bool"));
    if (messageExpression) errors.push(...compileProblems(`${at}.messageExpression`, messageExpression, "string"));
    if (message?.includes("\n"))
      errors.push(invalidValue(`${at}.message`, message, "message must not contain line breaks"));
    if (reason !== undefined) errors.push(...oneOf(`${at}.reason`, reason, reasons, false));
  }
  for (const [i, { key, valueExpression }] of auditAnnotations.entries()) {
    const at = `spec.auditAnnotations[${i}]`;
    for (const p of qualifiedName(key ?? "")) errors.push(invalidValue(`${at}.key`, key ?? "", p));
    if (!valueExpression?.trim()) errors.push(required(`${at}.valueExpression`, "valueExpression is not specified"));
    else errors.push(...compileProblems(`${at}.valueExpression`, valueExpression, "string", "null"));
    if (auditAnnotations.findIndex((a) => a.key === key) < i) errors.push(duplicate(`${at}.key`, key));
  }
  for (const [i, { name, expression }] of variables.entries()) {
    const at = `spec.variables[${i}]`;
    if (!name) errors.push(required(`${at}.name`, "name is not specified"));
    else if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      errors.push(invalidValue(`${at}.name`, name, "name is not a valid CEL identifier"));
    if (!expression?.trim()) errors.push(required(`${at}.expression`, "expression is not specified"));
    else errors.push(...compileProblems(`${at}.expression`, expression));
  }
  return errors;
}

export const validatingAdmissionPolicyBindings: Resource<ValidatingAdmissionPolicyBinding> = defineResource(
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

function paramText(ref: ParamRef | undefined): string {
  if (!ref) return unset;
  return ref.namespace ? `${ref.namespace}/${ref.name ?? "*"}` : (ref.name ?? "*");
}

const actions = ["Audit", "Deny", "Warn"];

function validateBinding({ spec }: ValidatingAdmissionPolicyBinding): FieldError[] {
  const errors: FieldError[] = [];
  if (!spec.policyName) errors.push(required("spec.policyName"));
  else
    for (const p of dns1123Subdomain(spec.policyName)) errors.push(invalidValue("spec.policyName", spec.policyName, p));
  const { paramRef, matchResources } = spec;
  if (paramRef) {
    if (!paramRef.name && !paramRef.selector)
      errors.push(required("spec.paramRef", "one of name or selector must be specified"));
    if (paramRef.name && paramRef.selector)
      errors.push(forbiddenField("spec.paramRef.name", "name and selector are mutually exclusive"));
    errors.push(...validateLabelSelector(paramRef.selector, "spec.paramRef.selector"));
    const action = paramRef.parameterNotFoundAction;
    if (!action) errors.push(required("spec.paramRef.parameterNotFoundAction"));
    else errors.push(...oneOf("spec.paramRef.parameterNotFoundAction", action, ["Deny", "Allow"], false));
  }
  if (matchResources) errors.push(...validateMatch(matchResources, "spec.matchResources"));
  const given = spec.validationActions ?? [];
  if (given.length === 0) errors.push(required("spec.validationActions"));
  for (const [i, action] of given.entries()) {
    errors.push(...oneOf(`spec.validationActions[${i}]`, action, actions, false));
    if (given.indexOf(action) < i) errors.push(duplicate(`spec.validationActions[${i}]`, action));
  }
  if (given.includes("Deny") && given.includes("Warn"))
    errors.push(
      invalidValue(
        "spec.validationActions",
        given,
        "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
      ),
    );
  return errors;
}
