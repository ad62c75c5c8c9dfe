import { invalid, type Problems, required, shaped, tooLong } from "../../apimachinery/field-error.ts";
import { configMapKey } from "../../apimachinery/names.ts";
import { syntaxError } from "../../apimachinery/schema/json-scan.ts";
import type { Secret } from "../generated/core-v1.ts";
import { Secrets } from "../generated/resources.ts";
import { column, defineResource, immutableField, namespaced, rules, shown } from "../kind.ts";
import { frozen, maxDataBytes } from "./config-map.ts";

export const secrets = defineResource(Secrets, {
  selectable: { type: "" },
  defaults(secret) {
    secret.type ||= "Opaque";
    // stringData is for writing only: it lands in data.
    for (const [key, value] of Object.entries(secret.stringData ?? {}))
      secret.data = { ...secret.data, [key]: Buffer.from(value).toString("base64") };
    delete secret.stringData;
  },
  ...rules(namespaced, validateData, (secret, old) => [
    ...immutableField("type", secret.type, old.type),
    ...frozen(secret, old, ["data"]),
  ]),
  columns: shown(
    column("Type", ({ type }) => type ?? "", "What its data is for."),
    column("Data", ({ data }) => Object.keys(data ?? {}).length, "How many keys it has."),
  ),
});

const needed: Record<string, string[]> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};

function* validateData({ metadata, type = "", data = {} }: Secret): Problems {
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    yield* shaped(`data[${key}]`, key, configMapKey);
    size += Buffer.byteLength(value, "base64");
  }
  if (size > maxDataBytes) yield tooLong("data", maxDataBytes);
  for (const key of needed[type] ?? [])
    if (data[key] === undefined || (data[key] === "" && type.endsWith("ssh-auth"))) yield required(`data[${key}]`);
  const [key = ""] = needed[type] ?? [];
  const problem = key.startsWith(".docker") && data[key] !== undefined && notJson(data[key]);
  if (problem) yield invalid(`data[${key}]`, "<secret contents redacted>", problem);
  if (type === "kubernetes.io/basic-auth" && data["username"] === undefined && data["password"] === undefined) {
    yield required("data[username]");
    yield required("data[password]");
  }
  if (type === "kubernetes.io/service-account-token" && !metadata.annotations?.["kubernetes.io/service-account.name"])
    yield required("metadata.annotations[kubernetes.io/service-account.name]");
}

/** What Go says to a text that is no JSON object. */
function notJson(base64: string): string | undefined {
  const text = Buffer.from(base64, "base64").toString();
  try {
    const value = JSON.parse(text) as unknown;
    if (value === null || (typeof value === "object" && !Array.isArray(value))) return undefined;
    const kind = Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
    return `json: cannot unmarshal ${kind} into Go value of type map[string]interface {}`;
  } catch {
    return syntaxError(text);
  }
}
