import type { FieldError, Problems } from "./field-error.ts";
import * as problem from "./field-error.ts";
import type { LabelSelector } from "./generated/meta-v1.ts";
import { labelValue, qualifiedName } from "./names.ts";
import { parseRequirements } from "./selector-parser.ts";
import { badRequest } from "./status.ts";

/**
 * Label selectors, as text (`app=web,tier in (a,b),!old`) and as objects (`matchLabels`, `matchExpressions`). A selector
 * is a list of requirements that all must hold; the empty list selects everything.
 * Source: k8s.io/apimachinery/pkg/labels, whose error texts these are.
 */
export interface Requirement {
  key: string;
  operator: Operator;
  /** Sorted. */
  values: string[];
}

export type Operator = "=" | "==" | "!=" | "in" | "notin" | "exists" | "!" | "gt" | "lt";

export type Selector = readonly Requirement[];

export type Labels = Readonly<Record<string, string>>;

/** What an absent LabelSelector selects. */
export const nothing: Selector = [{ key: "", operator: "in", values: [] }];

export function matches(selector: Selector, labels: Labels | undefined = {}): boolean {
  return selector.every((requirement) => holds(requirement, labels));
}

function holds({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
  if (operator === "exists" || operator === "!") return (value !== undefined) === (operator === "exists");
  if (operator === "gt" || operator === "lt") {
    if (value === undefined || !isInteger(value)) return false;
    return operator === "gt" ? BigInt(value) > BigInt(values[0]!) : BigInt(value) < BigInt(values[0]!);
  }
  const listed = value !== undefined && values.includes(value);
  return listed !== (operator === "!=" || operator === "notin");
}

const isInteger = (text: string) => /^-?\d+$/.test(text);

/** `undefined` selects nothing, `{}` everything. Throws BadRequest. */
export function labelSelector(selector: LabelSelector | undefined): Selector {
  if (!selector) return nothing;
  const requirements = Object.entries(selector.matchLabels ?? {}).map(([key, value]) => checked(key, "=", [value]));
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const mapped = expressions[operator as keyof typeof expressions];
    if (!mapped) throw badRequest(`"${operator}" is not a valid label selector operator`);
    requirements.push(checked(key, mapped, values));
  }
  return requirements.sort(byKey);
}

const expressions = { In: "in", NotIn: "notin", Exists: "exists", DoesNotExist: "!" } as const;

/** `app=web`, from a map of labels as Services have it. */
export const labelsSelector = (labels: Labels): Selector =>
  Object.entries(labels)
    .map(([key, value]) => ({ key, operator: "=" as const, values: [value] }))
    .sort(byKey);

export function formatSelector(selector: Selector): string {
  return selector.map(formatRequirement).join(",");
}

function formatRequirement({ key, operator, values }: Requirement): string {
  if (operator === "exists") return key;
  if (operator === "!") return `!${key}`;
  if (operator === "in" || operator === "notin") return `${key} ${operator} (${values.join(",")})`;
  const sign = operator === "gt" ? ">" : operator === "lt" ? "<" : operator;
  return `${key}${sign}${values[0] ?? ""}`;
}

const byKey = (a: Requirement, b: Requirement) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

/** Throws BadRequest with upstream's text. */
export function parseSelector(text: string): Selector {
  return parseRequirements(text, checked).sort(byKey);
}

function checked(key: string, operator: Operator, values: string[]): Requirement {
  const sorted = [...values].sort();
  const problems: FieldError[] = qualifiedName(key).map((p) => problem.invalid("key", key, p));
  const wrong = (detail: string) => problems.push(problem.invalid("values", sorted, detail));
  if (operator === "in" || operator === "notin") {
    if (sorted.length === 0) wrong("for 'in', 'notin' operators, values set can't be empty");
  } else if (operator === "exists" || operator === "!") {
    if (sorted.length > 0) wrong("values set must be empty for exists and does not exist");
  } else if (operator === "gt" || operator === "lt") {
    if (sorted.length !== 1) wrong("for 'Gt', 'Lt' operators, exactly one value is required");
    for (const [i, value] of sorted.entries())
      if (!isInteger(value))
        problems.push(problem.invalid(`values[${i}]`, value, "for 'Gt', 'Lt' operators, the value must be an integer"));
  } else if (sorted.length !== 1) wrong("exact-match compatibility requires one single value");
  for (const [i, value] of sorted.entries())
    problems.push(...labelValue(value).map((p) => problem.invalid(`values[${i}][${key}]`, value, p)));
  if (problems.length) throw badRequest(`unable to parse requirement: ${problems.map(problem.errorText).join(", ")}`);
  return { key, operator, values: sorted };
}

/** Validation of a LabelSelector that stands in an object. */
export function* validateLabelSelector(selector: LabelSelector | undefined, path: string): Problems {
  if (!selector) return;
  yield* validateLabels(selector.matchLabels, problem.child(path, "matchLabels"));
  for (const [i, { key, operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${i}]`;
    yield* validateOperator(operator, values, at);
    yield* problem.shaped(`${at}.key`, key, qualifiedName);
    for (const [j, value] of values.entries()) yield* problem.shaped(`${at}.values[${j}]`, value, labelValue);
  }
}

const someValue = "must be specified when `operator` is 'In' or 'NotIn'";
const noValue = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
const oneValue = "must be specified single value when `operator` is 'Lt' or 'Gt'";

/** An operator, with as many values as it takes; node selectors can compare, too. */
export function* validateOperator(operator = "", values: string[], at: string, compares = false): Problems {
  if (operator === "In" || operator === "NotIn") {
    if (values.length === 0) yield problem.required(`${at}.values`, someValue);
  } else if (operator === "Exists" || operator === "DoesNotExist") {
    if (values.length > 0) yield problem.forbidden(`${at}.values`, noValue);
  } else if (compares && (operator === "Gt" || operator === "Lt")) {
    if (values.length !== 1) yield problem.required(`${at}.values`, oneValue);
  } else yield problem.invalid(`${at}.operator`, operator, "not a valid selector operator");
}

export function* validateLabels(labels: Labels | undefined, path: string): Problems {
  yield* Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...qualifiedName(key).map((p) => problem.invalid(path, key, p)),
    ...labelValue(String(value)).map((p) => problem.invalid(path, value, p)),
  ]);
}

// --- fields ---------------------------------------------------------------------------------------------------------

/** `spec.nodeName=a,status.phase!=Running`; the values may escape `\`, `,` and `=` with a backslash. */
export interface FieldRequirement {
  field: string;
  operator: "=" | "!=";
  value: string;
}

export type FieldSelector = readonly FieldRequirement[];

/** Throws BadRequest. Which fields a kind knows is checked by `checkFields`. */
export function parseFieldSelector(text: string): FieldSelector {
  const requirements: FieldRequirement[] = [];
  for (const part of splitUnescaped(text)) {
    if (part === "") continue;
    const match = /^((?:[^\\=!]|\\.|!(?!=))*)(!=|==|=)(.*)$/s.exec(part);
    if (!match) throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
    const value = unescaped(match[3]!);
    requirements.push({ field: match[1]!, operator: match[2] === "!=" ? "!=" : "=", value });
  }
  return requirements;
}

function splitUnescaped(text: string): string[] {
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === ",") {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  return [...parts, text.slice(start)];
}

function unescaped(text: string): string {
  return text.replace(/\\(.)|([,=])|\\$/gs, (whole: string, escaped?: string, bare?: string) => {
    if (bare) throw badRequest(`invalid field selector: unescaped character in value: ${bare}`);
    if (escaped === undefined || !"\\,=".includes(escaped))
      throw badRequest(`invalid field selector: invalid escape sequence: ${whole}`);
    return escaped;
  });
}

export const matchesFields = (selector: FieldSelector, fields: Labels): boolean =>
  selector.every(({ field, operator, value }) => (operator === "=") === ((fields[field] ?? "") === value));

/** The value that `selector` demands of a field, if it demands one. */
export const exactField = (selector: FieldSelector, field: string): string | undefined =>
  selector.find((r) => r.field === field && r.operator === "=")?.value;

/** Throws BadRequest for a field that the kind cannot select by, with what it says of such. */
export function checkFields(
  selector: FieldSelector,
  kind: { selectableFields: readonly string[]; unknownField(name: string): string },
): void {
  const unknown = selector.find(({ field }) => !kind.selectableFields.includes(field));
  if (unknown) throw badRequest(kind.unknownField(unknown.field));
}
