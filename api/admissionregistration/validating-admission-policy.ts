import * as field from "../../apimachinery/field-error.ts";
import { dns1035Label, dns1123Subdomain, pathSegmentName, qualifiedName } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { validateConditions as validateStatusConditions } from "../conditions.ts";
import type * as v1 from "../generated/admissionregistration-v1.ts";
import { ValidatingAdmissionPolicies, ValidatingAdmissionPolicyBindings } from "../generated/resources.ts";
import { clusterWide, column, defineResource, integer, rules, shown, unset } from "../kind.ts";
import { generationOnly, specAndStatus } from "../strategy.ts";
import { compileProblems, variablesOf } from "./expressions.ts";
import { defaultMatch, validateConditions, validateMatch } from "./rules.ts";

export const validatingAdmissionPolicies = defineResource(ValidatingAdmissionPolicies, {
  categories: ["api-extensions"],
  unconditionalUpdate: false,
  subresources: ["status"],
  defaults({ spec }) {
    spec.failurePolicy ??= "Fail";
    if (spec.matchConstraints) defaultMatch(spec.matchConstraints);
  },
  ...specAndStatus,
  ...rules(clusterWide, validatePolicy, undefined, validateStatus),
  columns: shown(
    column("Validations", ({ spec }) => spec.validations?.length ?? 0, "How many it has.", integer),
    column("ParamKind", ({ spec: { paramKind: k } }) => (k ? `${k.apiVersion}/${k.kind}` : unset), "Its parameters'."),
  ),
});

const reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const maxAnnotations = 20;
const maxAnnotation = 5 * 1024;
const identifier =
  /^(?!(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return|var|void|while)$)[A-Za-z_]\w*$/;

function* validatePolicy({ metadata, spec }: v1.ValidatingAdmissionPolicy): field.Problems {
  const { failurePolicy, paramKind, matchConstraints, validations = [], auditAnnotations = [] } = spec;
  yield* field.oneOf("spec.failurePolicy", failurePolicy, ["Fail", "Ignore"], failurePolicy === undefined);
  if (paramKind) yield* validateParamKind(paramKind, "spec.paramKind");
  if (!matchConstraints) yield field.required("spec.matchConstraints");
  else {
    yield* validateMatch(matchConstraints, "spec.matchConstraints");
    if (!matchConstraints.resourceRules?.length) yield field.required("spec.matchConstraints.resourceRules");
  }
  const names = variablesOf(spec);
  yield* validateConditions(spec.matchConditions, "spec.matchConditions", names);
  yield* field.each(spec.variables, "spec.variables", (one, at) => validateVariable(one, at, names));
  if (validations.length + auditAnnotations.length === 0)
    for (const key of ["validations", "auditAnnotations"])
      yield field.required(`spec.${key}`, "validations or auditAnnotations must contain at least one item");
  yield* field.each(validations, "spec.validations", (one, at) => validateValidation(one, at, names));
  if (auditAnnotations.length > maxAnnotations) {
    const text = `must not have more than ${maxAnnotations} auditAnnotations`;
    yield field.invalid("spec.auditAnnotations", auditAnnotations, text);
  }
  const check = (one: v1.AuditAnnotation, at: string) => validateAnnotation(one, at, metadata.name, names);
  yield* field.each(auditAnnotations, "spec.auditAnnotations", check, { key: ({ key }) => key ?? "", at: "key" });
}

function* validateParamKind({ apiVersion = "", kind = "" }: v1.ParamKind, at: string): field.Problems {
  const wrong = (value: string, problems: string[], text = "") =>
    problems.length > 0 ? [field.invalid(`${at}.apiVersion`, value, `${text}${problems.join(",")}`)] : [];
  const parts = apiVersion.split("/");
  const [version = "", group] = parts.toReversed();
  if (!apiVersion) yield field.required(`${at}.apiVersion`);
  else if (parts.length > 2) yield* wrong(apiVersion, [`unexpected GroupVersion string: ${apiVersion}`]);
  else {
    if (group) yield* wrong(group, dns1123Subdomain(group));
    yield* version ? wrong(version, dns1035Label(version)) : wrong(apiVersion, ["version must be specified"]);
  }
  const mixed = "may have mixed case, but should otherwise match: ";
  if (!kind) yield field.required(`${at}.kind`);
  else for (const p of wrong(kind, dns1035Label(kind.toLowerCase()), mixed)) yield { ...p, field: `${at}.kind` };
}

function* validateVariable({ name, expression }: v1.Variable, at: string, names: string[]): field.Problems {
  if (!name?.trim()) yield field.required(`${at}.name`, "name is not specified");
  else if (!identifier.test(name)) yield field.invalid(`${at}.name`, name, "must be a valid CEL identifier");
  if (!expression?.trim()) yield field.required(`${at}.expression`, "expression is not specified");
  else yield* compileProblems(`${at}.expression`, expression, names);
}

function* validateValidation(validation: v1.Validation, at: string, names: string[]): field.Problems {
  const { expression, reason, message = "", messageExpression = "" } = validation;
  if (!expression?.trim()) yield field.required(`${at}.expression`, "expression is not specified");
  else yield* compileProblems(`${at}.expression`, expression, names, "bool");
  if (messageExpression.trim()) yield* compileProblems(`${at}.messageExpression`, messageExpression, names, "string");
  else if (messageExpression)
    yield field.invalid(`${at}.messageExpression`, messageExpression, "must be non-empty if specified");
  if (message && !message.trim()) yield field.invalid(`${at}.message`, message, "must be non-empty if specified");
  else if (/[\n\r]/.test(message.trim())) yield field.invalid(`${at}.message`, message, "must not contain line breaks");
  if (reason !== undefined) yield* field.oneOf(`${at}.reason`, reason, reasons, false);
}

function* validateAnnotation(
  annotation: v1.AuditAnnotation,
  at: string,
  policy: string,
  names: string[],
): field.Problems {
  const { key = "", valueExpression = "" } = annotation;
  for (const p of qualifiedName(`${policy}/${key}`)) yield field.invalid(`${at}.key`, `${policy}/${key}`, p);
  const path = `${at}.valueExpression`;
  const expression = valueExpression.trim();
  if (!expression) yield field.required(path, "valueExpression is not specified");
  else if (expression.length > maxAnnotation)
    yield field.required(path, `must not exceed ${maxAnnotation} bytes in length`);
  else yield* compileProblems(path, expression, names, "string", "null");
}

function* validateStatus({ status }: v1.ValidatingAdmissionPolicy): field.Problems {
  const at = "status.typeChecking.expressionWarnings";
  yield* field.each(status?.typeChecking?.expressionWarnings, at, function* ({ warning, fieldRef }, path) {
    if (!warning) yield field.required(`${path}.warning`);
    if (!fieldRef?.trim()) yield field.required(`${path}.fieldRef`);
  });
  yield* validateStatusConditions(status?.conditions, "status.conditions");
}

export const validatingAdmissionPolicyBindings = defineResource(ValidatingAdmissionPolicyBindings, {
  categories: ["api-extensions"],
  unconditionalUpdate: false,
  defaults({ spec }) {
    if (spec.matchResources) defaultMatch(spec.matchResources);
  },
  ...generationOnly,
  ...rules(clusterWide, validateBinding),
  columns: shown(
    column("PolicyName", ({ spec }) => spec.policyName ?? "", "The policy it puts into force."),
    column("ParamRef", ({ spec }) => paramText(spec.paramRef), "What it gives the policy."),
  ),
});

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

function* validateBinding({ spec }: v1.ValidatingAdmissionPolicyBinding): field.Problems {
  yield* field.requiredName("spec.policyName", spec.policyName, dns1123Subdomain);
  const { paramRef, matchResources, validationActions: given = [] } = spec;
  if (paramRef) yield* validateParamRef(paramRef, "spec.paramRef");
  if (matchResources) yield* validateMatch(matchResources, "spec.matchResources");
  const at = "spec.validationActions";
  yield* field.each(given, at, (action, path) => field.oneOf(path, action, actions, false), { key: String });
  if (given.includes("Deny") && given.includes("Warn")) yield field.invalid(at, given, denyAndWarn);
  if (given.length === 0) yield field.required(at, "at least one validation action is required");
}

function* validateParamRef(ref: v1.ParamRef, at: string): field.Problems {
  const { name, selector, parameterNotFoundAction: action } = ref;
  const exclusive = (key: string) =>
    name && selector ? [field.forbidden(`${at}.${key}`, "name and selector are mutually exclusive")] : [];
  yield* field.shaped(`${at}.name`, name ?? "", pathSegmentName);
  yield* exclusive("name");
  yield* validateLabelSelector(selector, `${at}.selector`);
  yield* exclusive("selector");
  if (!name && !selector) yield field.required(at, "one of name or selector must be specified");
  yield* field.oneOf(`${at}.parameterNotFoundAction`, action, ["Deny", "Allow"], true);
}
