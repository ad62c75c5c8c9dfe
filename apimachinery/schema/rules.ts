import { LRUCache } from "lru-cache";
import { memo } from "../../base/memo.ts";
import { Budget, Environment, type Program } from "../cel/environment.ts";
import { jsonToCel, type Shape, tagged } from "../cel/values.ts";
import { duplicate, type FieldError, forbidden, invalid, required } from "../field-error.ts";
import { sameJson } from "../same-json.ts";
import { isObject } from "./normalize.ts";
import { type JsonSchema, schemaOfField } from "./structural.ts";
import { correlated } from "./validate.ts";

/**
 * x-kubernetes-validations: CEL rules of a structural schema (KEP-2876). A rule that names oldSelf is about a change and
 * asks only where there is an old value, or always with optionalOldSelf. One budget serves a whole object.
 */
export interface Rule {
  rule: string;
  message?: string;
  messageExpression?: string;
  reason?: string;
  fieldPath?: string;
  optionalOldSelf?: boolean;
}

export const rulesOf = (schema: JsonSchema): readonly Rule[] => (schema["x-kubernetes-validations"] ?? []) as Rule[];

const environment = new Environment(["self", "oldSelf"]);
const programs = new LRUCache<string, Program>({ max: 5000 });

/** Throws a CompileError; what was compiled once is kept. */
export function compileRule(expression: string): Program {
  return memo(programs, expression, (text) => environment.compile(text));
}

const withRules = new WeakMap<JsonSchema, boolean>();

export function hasRules(schema: JsonSchema): boolean {
  return memo(withRules, schema, ({ properties = {}, items, additionalProperties: rest }) => {
    const inner = [...Object.values(properties), items, isObject(rest) ? (rest as JsonSchema) : undefined];
    return rulesOf(schema).length > 0 || inner.some((one) => one !== undefined && hasRules(one));
  });
}

/** What the rules say of a value that fits the schema otherwise. */
export function checkRules(schema: JsonSchema, value: unknown, old: unknown): FieldError[] {
  const errors: FieldError[] = [];
  const budget = new Budget();
  visit(schema, value, old, "");
  return errors;

  function visit(level: JsonSchema, self: unknown, oldSelf: unknown, at: string): void {
    if (!hasRules(level) || self === null || budget.spent) return;
    const rules = rulesOf(level);
    if (rules.length > 0) {
      const bind = (one: unknown) => jsonToCel(at === "" ? withShortMetadata(one) : one, level as Shape);
      const bound = { self: bind(self), old: oldSelf === undefined ? undefined : bind(oldSelf) };
      for (const rule of rules) {
        if (budget.spent) return;
        const unchanged = oldSelf !== undefined && sameJson(self, oldSelf) && !isTransition(rule);
        const error = unchanged ? undefined : check(rule, bound, level, at, budget);
        if (error !== undefined) errors.push(error);
      }
    }
    if (Array.isArray(self) && level.items) {
      const before = correlated(self, level, oldSelf);
      for (const [i, item] of self.entries()) visit(level.items, item, before(item), `${at}[${i}]`);
    } else if (isObject(self))
      for (const key of Object.keys(self)) {
        const inner = schemaOfField(level, key);
        const before = isObject(oldSelf) && Object.hasOwn(oldSelf, key) ? oldSelf[key] : undefined;
        if (inner) visit(inner, self[key], before, at ? `${at}.${key}` : key);
      }
  }
}

function check(
  rule: Rule,
  { self, old }: { self: ReturnType<typeof jsonToCel>; old: ReturnType<typeof jsonToCel> | undefined },
  { type = "" }: JsonSchema,
  at: string,
  budget: Budget,
): FieldError | undefined {
  if (isTransition(rule) && old === undefined && !rule.optionalOldSelf) return undefined;
  const oldSelf = rule.optionalOldSelf ? tagged("optional", old === undefined ? [] : [old]) : (old ?? null);
  const variables = { self, oldSelf };
  const shown = (rule.message ?? "").trim() || rule.rule.trim();
  try {
    if (compileRule(rule.rule).evaluate(variables, budget) === true) return undefined;
  } catch (error) {
    const { message } = error as Error;
    if (budget.spent) return invalid(at, type, outOfBudget);
    if (message.startsWith("operation cancelled")) budget.left = -1;
    const why = whys.find(([start]) => message.startsWith(start))?.[1];
    return invalid(at, type, why ? `'${message}': ${why}: ${shown}` : `${message} evaluating rule: ${shown}`);
  }
  const message = spoken(rule, variables, budget) ?? (rule.message ? shown : `failed rule: ${shown}`);
  const field = `${at}${(rule.fieldPath ?? "").replace(/\['([^']*)'\]/g, "[$1]")}`.replace(/^\./, "");
  if (rule.reason === "FieldValueForbidden") return forbidden(field, message);
  if (rule.reason === "FieldValueRequired") return required(field, message);
  if (rule.reason === "FieldValueDuplicate") return { ...duplicate(field, type), detail: message };
  return invalid(field, type, message);
}

function spoken({ messageExpression }: Rule, variables: Parameters<Program["evaluate"]>[0], budget: Budget) {
  if (!messageExpression) return undefined;
  try {
    const text = compileRule(messageExpression).evaluate(variables, budget);
    return typeof text === "string" && text.trim() !== "" && !text.includes("\n") ? text.trim() : undefined;
  } catch {
    return undefined; // upstream logs it; `message` speaks instead
  }
}

const whys = [
  ["operation cancelled", "no further validation rules will be run due to call cost exceeds limit for rule"],
  ["no such overload", "call arguments did not match a supported operator, function or macro signature for rule"],
] as const;
const outOfBudget = "validation failed due to running out of cost budget, no further validation rules will be run";

export const isTransition = ({ rule }: Rule): boolean => /\boldSelf\b/.test(rule.replace(/"[^"]*"|'[^']*'/g, ""));

/** Of metadata, rules see the name only. */
function withShortMetadata(object: unknown): unknown {
  const { metadata = {}, ...rest } = object as { metadata?: Record<string, unknown> };
  const { name, generateName } = metadata;
  return { ...rest, metadata: { ...(name ? { name } : {}), ...(generateName ? { generateName } : {}) } };
}
