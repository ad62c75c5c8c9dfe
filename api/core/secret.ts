import { invalidValue, type Problems, required, shaped, tooLong } from "../../apimachinery/field-error.ts";
import { configMapKey } from "../../apimachinery/names.ts";
import { ageColumn, column, integer, nameColumn } from "../columns.ts";
import type { Secret } from "../generated/core-v1.ts";
import { Secrets } from "../generated/resources.ts";
import { immutable, validateObjectMeta, validateObjectMetaUpdate } from "../metadata.ts";
import { defineResource, type Resource } from "../resource.ts";
import { frozen, maxDataBytes } from "./config-map.ts";

export const secrets: Resource<Secret> = defineResource(Secrets, {
  selectableFields: ["type"],
  fields: ({ type }) => ({ type: type ?? "" }),
  defaults(secret) {
    secret.type ||= "Opaque";
    // stringData is for writing only: it lands in data.
    for (const [key, value] of Object.entries(secret.stringData ?? {}))
      secret.data = { ...secret.data, [key]: Buffer.from(value).toString("base64") };
    delete secret.stringData;
  },
  validate: (secret) => [...validateObjectMeta(secret.metadata, { namespaced: true }), ...validateData(secret)],
  validateUpdate: (secret, old) => [
    ...validateObjectMetaUpdate(secret.metadata, old.metadata),
    ...(secret.type === old.type ? [] : [invalidValue("type", secret.type, immutable)]),
    ...frozen(secret, old, ["data"]),
    ...validateData(secret),
  ],
  columns: [
    nameColumn,
    column("Type", ({ type }) => type ?? "", "What its data is for."),
    column("Data", ({ data }) => Object.keys(data ?? {}).length, "How many keys it has.", integer),
    ageColumn,
  ],
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
    size += Math.floor((value.length * 3) / 4);
  }
  if (size > maxDataBytes) yield tooLong("data", maxDataBytes);
  for (const key of needed[type] ?? []) if (data[key] === undefined) yield required(`data[${key}]`);
  if (type === "kubernetes.io/basic-auth" && data["username"] === undefined && data["password"] === undefined) {
    yield required("data[username]");
    yield required("data[password]");
  }
  if (type === "kubernetes.io/service-account-token" && !metadata.annotations?.["kubernetes.io/service-account.name"])
    yield required("metadata.annotations[kubernetes.io/service-account.name]");
}
