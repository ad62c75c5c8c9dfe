import { readdirSync, readFileSync } from "node:fs";
import protobuf from "protobufjs";

/**
 * From proto/kubernetes: TypeScript types per group-version, the table that drives apimachinery/schema, and each
 * resource as a value. JSON is meant everywhere: Quantity and Time are strings, bytes are base64.
 *
 * A row of the table is `jsonName number type flags`; see apimachinery/schema/table.ts, which reads it.
 */
const dir = "proto/kubernetes";

export interface Message {
  /** `core/v1.Pod` */
  id: string;
  name: string;
  file: string;
  group: string;
  version: string;
  scope: "Namespaced" | "Cluster" | undefined;
  structType: string | undefined;
  jsonForm: string | undefined;
  fields: Field[];
}

interface Field {
  json: string;
  number: number;
  scalar: string | undefined;
  message: Message | undefined;
  repeated: boolean;
  map: boolean;
  option: (name: string) => string | undefined;
}

/** meta/v1 belongs to apimachinery, all else to api. */
const folderOf = (file: string) => (file === "meta-v1" ? "apimachinery/generated" : "api/generated");

export function generateKubernetes(): Map<string, string> {
  const messages = readMessages();
  const files = new Map<string, string>();
  for (const file of new Set(messages.filter((m) => m.version).map((m) => m.file))) {
    const own = messages.filter((m) => m.file === file);
    const text = renderTypes(file, own);
    if (text) files.set(`${folderOf(file)}/${file}.ts`, text);
  }
  files.set("api/generated/schema.ts", renderTable(messages));
  files.set("api/generated/resources.ts", renderResources(messages));
  return files;
}

function readMessages(): Message[] {
  const root = new protobuf.Root();
  const groups = new Map<string, { file: string; group: string; version: string }>();
  const names = readdirSync(dir).filter((file) => file.endsWith(".proto"));
  for (const name of names.sort()) {
    const file = name.replace(/\.proto$/, "");
    const pkg = protobuf.parse(readFileSync(`${dir}/${name}`, "utf8"), root, { keepCase: true }).package!;
    groups.set(pkg, { file, ...groupVersionOf(pkg) });
  }
  root.resolveAll();
  const found = new Map<protobuf.Type, Message>();
  for (const [pkg, { file, group, version }] of groups) {
    for (const type of (root.lookup(pkg) as protobuf.Namespace).nestedArray) {
      if (!(type instanceof protobuf.Type)) continue;
      const option = (name: string) => type.options?.[`(kubelab.${name})`] as string | undefined;
      found.set(type, {
        id: `${version ? `${pkg.split(".").at(-2)}/${version}` : file}.${type.name}`,
        name: type.name,
        file,
        group,
        version,
        scope: option("scope") as Message["scope"],
        structType: option("struct_type"),
        jsonForm: option("json_form"),
        fields: [],
      });
    }
  }
  for (const [type, message] of found) {
    message.fields = type.fieldsArray.map((field) => ({
      json: (field.options?.["(kubelab.json)"] as string | undefined) ?? field.name,
      number: field.id,
      scalar: field.resolvedType ? undefined : field.type,
      message: field.resolvedType instanceof protobuf.Type ? found.get(field.resolvedType) : undefined,
      repeated: field.repeated,
      map: field.map,
      option: (name) => field.options?.[`(kubelab.${name})`]?.toString() as string | undefined,
    }));
  }
  return [...found.values()];
}

function groupVersionOf(pkg: string): { group: string; version: string } {
  const [version, group] = pkg.split(".").reverse() as [string, string];
  if (!/^v\d/.test(version)) return { group: "", version: "" };
  const short = /^(core|apps|autoscaling|batch|policy)$/.test(group);
  return { group: group === "core" ? "" : short ? group : `${fullGroups[group] ?? group}.k8s.io`, version };
}

const fullGroups: Record<string, string> = { rbac: "rbac.authorization", flowcontrol: "flowcontrol.apiserver" };

/** Written by hand in apimachinery/object.ts. */
const byHand = new Set(["ObjectMeta"]);

function renderTypes(file: string, messages: Message[]): string | undefined {
  const imports = new Map<string, Set<string>>();
  const use = (path: string, name: string) => {
    if (!imports.has(path)) imports.set(path, new Set());
    imports.get(path)!.add(name);
    return name;
  };
  const nameOf = (message: Message): string => {
    if (message.file === "meta-v1" && byHand.has(message.name))
      return use(file === "meta-v1" ? "../object.ts" : "../../apimachinery/object.ts", message.name);
    if (message.file === file) return message.name;
    const near = folderOf(message.file) === folderOf(file);
    return use(near ? `./${message.file}.ts` : `../../${folderOf(message.file)}/${message.file}.ts`, message.name);
  };
  const body: string[] = [];
  for (const message of messages) {
    if (message.jsonForm || (file === "meta-v1" && byHand.has(message.name))) continue;
    body.push(...renderInterface(message, nameOf, use), "");
  }
  if (body.length === 0) return undefined;
  const head = [...imports]
    .sort()
    .map(([path, names]) => `import type { ${[...names].sort().join(", ")} } from "${path}";`);
  return [header, ...head, "", ...body].join("\n");
}

const header = "// Generated by `npm run generate` from proto/kubernetes. Do not edit.";

type Use = (path: string, name: string) => string;

function renderInterface(message: Message, nameOf: (message: Message) => string, use: Use): string[] {
  const kind = isKind(message);
  const parents = message.fields.filter((f) => f.option("inline")).map((f) => nameOf(f.message!));
  const objects = message.file === "meta-v1" ? "../object.ts" : "../../apimachinery/object.ts";
  if (kind && hasObjectMeta(message)) parents.unshift(use(objects, "KubernetesObject"));
  const lines = [`export interface ${message.name}${parents.length ? ` extends ${parents.join(", ")}` : ""} {`];
  if (kind && !hasObjectMeta(message)) lines.push("  apiVersion?: string;", "  kind?: string;");
  for (const field of message.fields) {
    if (field.option("inline")) continue;
    const name = /^[a-zA-Z_$][\w$]*$/.test(field.json) ? field.json : JSON.stringify(field.json);
    // An object always has metadata and spec: upstream's structs are never absent.
    const plain =
      field.option("required") ||
      (kind && /^(metadata|spec)$/.test(field.json) && hasObjectMeta(message)) ||
      (message.name === "PodTemplateSpec" && field.json === "spec");
    const metadata = field.message?.name === "ObjectMeta" && !kind;
    const type = metadata ? `Partial<${nameOf(field.message!)}>` : typeOf(field, nameOf);
    lines.push(`  ${name}${plain ? "" : "?"}: ${type};`);
  }
  return [...lines, "}"];
}

const hasObjectMeta = (m: Message) => m.fields.some((f) => f.json === "metadata" && f.message?.name === "ObjectMeta");
/** What has apiVersion and kind in JSON: stored kinds, lists, reviews, options, and the few others that name themselves. */
const isKind = (m: Message) =>
  m.scope !== undefined ||
  /^(Binding|TokenRequest|Scale|Eviction|PartialObjectMetadata|RangeAllocation|Status|List)$/.test(m.name) ||
  m.fields.some((f) => f.json === "metadata" && f.message?.name === "ListMeta") ||
  (/Options$|Review$|^API(Group|GroupList|ResourceList|Versions)$/.test(m.name) && m.version !== "");

function typeOf(field: Field, nameOf: (message: Message) => string): string {
  const values = field.option("values");
  const scalar = () => ({ string: "string", bytes: "string", bool: "boolean" })[field.scalar!] ?? "number";
  const words = values?.split(",").map((word) => JSON.stringify(word));
  const one = words?.join(" | ") ?? (field.message ? messageType(field.message, nameOf) : scalar());
  if (field.map) return `Record<string, ${one}>`;
  return field.repeated ? `${one.includes(" ") ? `(${one})` : one}[]` : one;
}

function messageType(message: Message, nameOf: (message: Message) => string): string {
  if (message.jsonForm === undefined) return nameOf(message);
  return jsonForms[message.jsonForm] ?? "string";
}

const jsonForms: Record<string, string> = {
  "int-or-string": "number | string",
  object: "Record<string, unknown>",
  any: "unknown",
  list: "string[]",
};

function renderTable(messages: Message[]): string {
  const rows = messages.map((message) => {
    const flags = [
      isKind(message) && "kind",
      message.scope,
      message.structType && `struct=${message.structType}`,
      message.jsonForm && `json=${message.jsonForm}`,
    ];
    return `${JSON.stringify(message.id)}:${JSON.stringify([flags.filter(Boolean).join(" "), ...message.fields.map(row)])}`;
  });
  const groups = new Map(
    messages.filter((m) => m.version).map((m) => [m.id.split(".")[0]!, `${m.group}/${m.version}`]),
  );
  return [
    header,
    "",
    "/** Group-versions by the short name that messages have in the table. */",
    `export const groupVersions: Record<string, string> = ${JSON.stringify(Object.fromEntries(groups), null, 2)};`,
    "",
    "/** One message a line; see apimachinery/schema/table.ts for how to read it. */",
    "export const table: string = `{",
    rows.join(",\n"),
    "}`;",
    "",
  ].join("\n");
}

const lists = { list: "list_type", keys: "list_map_keys", map: "map_type" };
const valued = { key: "patch_merge_key", ...lists, default: "default_value", values: "values" };

function row(field: Field): string {
  const type = field.message?.id ?? field.scalar!;
  const strategy = field.option("patch_strategy");
  const flags = [
    field.option("required") && "required",
    field.option("presence") && "presence",
    field.option("inline") && "inline",
    strategy && `patch=${strategy}`,
    ...Object.entries(valued).map(([flag, name]) => {
      const value = field.option(name);
      return value === undefined ? undefined : `${flag}=${value.replaceAll(" ", "_")}`;
    }),
  ].filter(Boolean);
  const shape = field.map ? `{${type}}` : field.repeated ? `[${type}]` : type;
  return [field.json, field.number, shape, ...flags].join(" ");
}

function renderResources(messages: Message[]): string {
  const kinds = messages.filter((m) => m.scope);
  const seen = new Set<string>();
  const lines: string[] = [];
  const imports = new Map<string, string[]>();
  const preferred = [...kinds.filter((m) => m.group === ""), ...kinds.filter((m) => m.group !== "")];
  for (const m of preferred) {
    const plural = pluralOf(m.name);
    // The second kind of a name gets its file before it: EventsV1Events, AutoscalingV2HorizontalPodAutoscalers.
    const prefix = seen.has(plural) ? m.file.replace(/(^|-)(.)/g, (_, __, c: string) => c.toUpperCase()) : "";
    seen.add(plural);
    const type = plural === m.name ? `${m.name}Object` : `${prefix}${m.name}`;
    imports.set(m.file, [...(imports.get(m.file) ?? []), type === m.name ? type : `${m.name} as ${type}`]);
    const named = { resource: plural.toLowerCase(), kind: m.name, namespaced: m.scope === "Namespaced" };
    const data = { group: m.group, version: m.version, ...named };
    lines.push(`export const ${prefix}${plural}: ResourceType<${type}> = ${JSON.stringify(data)};`);
  }
  return [
    header,
    'import type { ResourceType } from "../../apimachinery/object.ts";',
    ...[...imports].sort().map(([file, names]) => `import type { ${names.sort().join(", ")} } from "./${file}.ts";`),
    "",
    ...lines,
    "",
  ].join("\n");
}

function pluralOf(kind: string): string {
  if (/(Endpoints|Status)$/.test(kind)) return kind === "Endpoints" ? kind : `${kind}es`;
  if (/(s|ch|x)$/.test(kind)) return `${kind}es`;
  return /[^aeiou]y$/.test(kind) ? `${kind.slice(0, -1)}ies` : `${kind}s`;
}
