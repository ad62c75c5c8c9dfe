import { X509Certificate } from "node:crypto";
import { Environment } from "../apimachinery/cel/environment.ts";
import * as field from "../apimachinery/field-error.ts";
import { checkRules } from "../apimachinery/schema/rules.ts";
import { type JsonSchema, prune, setDefaults } from "../apimachinery/schema/structural.ts";
import { validateValue } from "../apimachinery/schema/validate.ts";
import { parseYaml } from "../apimachinery/schema/yaml.ts";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import { type Configurations, schemas } from "./generated/configuration.ts";

type Form = JsonSchema & { "x-unique"?: string[]; "x-expression"?: string; "x-bool"?: boolean };

/**
 * A file of apiserver.config.k8s.io whose form is in configuration.yaml, of any version since they have one form. Throws
 * RangeError with all that is wrong, unknown fields too.
 */
export function parseConfiguration<K extends keyof Configurations>(text: string, kind: K): Configurations[K] {
  if (text === "") throw new RangeError("empty config data");
  const { value, duplicates } = parseYaml(text);
  const { apiVersion = "", kind: given = "", ...config } = (value ?? {}) as { apiVersion?: string; kind?: string };
  if (given !== kind || !/^apiserver\.config\.k8s\.io\/v1(alpha1|beta1)?$/.test(apiVersion))
    throw new RangeError(`no kind ${JSON.stringify(given)} is registered for version ${JSON.stringify(apiVersion)}`);
  const [schema, unknown] = [schemas[kind] as Form, [] as string[]];
  prune(config, schema, false, unknown);
  setDefaults(config, schema);
  const strict = [
    ...duplicates.map((at) => `key "${at}" already set`),
    ...unknown.map((at) => `unknown field "${at}"`),
  ];
  if (strict.length > 0) throw new RangeError(`strict decoding error: ${strict.join(", ")}`);
  const told = ({ detail, ...problem }: field.FieldError): field.FieldError => {
    const badValue = valueAt(config, problem.field) ?? "";
    return { ...problem, badValue, detail: detail.replace("%s", problem.field) };
  };
  const problems = validateValue(config, schema);
  if (problems.length === 0)
    problems.push(...checkRules(schema, config, undefined).map(told), ...checkMore(config, schema, ""));
  if (problems.length > 0) throw new RangeError(field.aggregate(problems.map(field.errorText)));
  return config as Configurations[K];
}

const valueAt = (object: unknown, path: string) =>
  path.match(/[^.[\]]+/g)?.reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], object);

function* checkMore(value: unknown, form: Form | undefined, at: string): field.Problems {
  if (Array.isArray(value)) {
    for (const path of form?.["x-unique"] ?? [])
      yield* field.each(value, at, () => [], { key: (item) => (valueAt(item, path) as string) || undefined, at: path });
    for (const [i, item] of value.entries()) yield* checkMore(item, form?.items, `${at}[${i}]`);
  } else if (typeof value === "object")
    for (const [key, inner] of Object.entries(value as object))
      yield* checkMore(inner, form?.properties?.[key], field.child(at, key));
  else if (value && form) yield* checkText(String(value), form, at);
}

function* checkText(text: string, { format, "x-expression": variable, "x-bool": isBool }: Form, at: string) {
  try {
    if (format === "pem") new X509Certificate(text);
    const type = variable ? new Environment([variable]).compile(text).type : "dyn";
    if (isBool && type !== "bool" && type !== "dyn") yield field.invalid(at, text, "must evaluate to bool");
  } catch (error) {
    if (variable) yield field.invalid(at, text, `compilation failed: ${(error as Error).message}`);
    else yield field.invalid(at, "<omitted>", "data does not contain any valid RSA or ECDSA certificates");
  }
}

/**
 * What a file says now. Differs: it is looked at when somebody asks, at most once a second. What cannot be taken over is
 * logged, and the last that could stays. Throws what the first `read` or `make` throws.
 */
export function reloaded<T>(read: () => string, make: (text: string) => T, known: { clock: Clock; log: Logger }) {
  const { clock, log } = known;
  let [text, lookedAt] = [read(), clock.monotonic()];
  let value = make(text);
  return (): T => {
    if (clock.monotonic() - lookedAt < 1000) return value;
    lookedAt = clock.monotonic();
    try {
      const before = text;
      text = read();
      if (text !== before) value = make(text);
    } catch (err) {
      log.error({ err }, "A changed configuration could not be taken over");
    }
    return value;
  };
}
