import type { Options, Target, Verb } from "../request.ts";

/**
 * What an HTTP request asks for (upstream's request-info): a verb on a resource, or a plain path such as /healthz.
 *
 *   /api/{version}/...  and  /apis/{group}/{version}/...  with
 *   [namespaces/{namespace}/]{resource}[/{name}[/{subresource}]]
 *
 * `namespaces/{name}`, `.../status` and `.../finalize` are the Namespace itself. What follows `.../proxy` is the other
 * side's and stays as it was sent.
 */
export type RequestInfo =
  | { type: "Resource"; verb: Verb; target: Target; options: Options }
  | { type: "Path"; method: string; path: string; query: URLSearchParams }
  /** A path or method that no handler can have. */
  | { type: "Bad"; code: 400 | 404 | 405 };

const methods: Record<string, Verb> = {
  GET: "get",
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

export function parseRequest(method: string, url: string): RequestInfo {
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
  const proxied = proxyPath.exec(path);
  if (proxied !== null) return proxyRequest(method, proxied[1]!, url.slice(proxied[1]!.length), query);
  const plain: RequestInfo = { type: "Path", method, path, query };
  const parts = split(path);
  if (parts === undefined) return { type: "Bad", code: 400 };
  const [root] = parts;
  const rest = root === "api" ? parts.slice(2) : root === "apis" ? parts.slice(3) : [];
  if (rest[0] === "watch" && rest.length > 1) {
    rest.shift(); // the older way to say ?watch=true
    query.set("watch", "true");
  }
  if (rest.length === 0) return plain;
  const base = methods[method];
  if (base === undefined) return { type: "Bad", code: 405 };
  const target: Target = {
    group: root === "api" ? "" : parts[1]!,
    version: parts[root === "api" ? 1 : 2]!,
    namespace: "",
    resource: rest[0]!,
    name: "",
    subresource: "",
  };
  let names = rest.slice(1);
  if (rest[0] === "namespaces" && rest.length > 2 && !namespaceSubresources.has(rest[2]!)) {
    target.namespace = rest[1]!;
    target.resource = rest[2]!;
    names = rest.slice(3);
  } else if (rest[0] === "namespaces" && rest.length > 1) {
    target.namespace = rest[1]!; // as upstream: a Namespace lies in itself for authorization
  }
  target.name = names[0] ?? "";
  target.subresource = names.slice(1).join("/");
  const options = optionsOf(query);
  return { type: "Resource", verb: verbOf(base, target, query), target, options };
}

const proxyPath = /^(\/api\/v1\/(?:namespaces\/[^/]+\/(?:pods|services)|nodes)\/[^/]+\/proxy)(?:\/.*)?$/;

function proxyRequest(method: string, prefix: string, rest: string, query: URLSearchParams): RequestInfo {
  const parts = split(prefix);
  if (parts === undefined) return { type: "Bad", code: 400 };
  // As upstream, which has no verb for OPTIONS: only who may do everything may do that.
  const verb = { ...methods, HEAD: "get", OPTIONS: "" }[method] as Verb | undefined;
  if (verb === undefined) return { type: "Bad", code: 405 };
  const [resource, name] = parts.slice(-3) as [string, string];
  const namespace = resource === "nodes" ? "" : parts[3]!;
  const target: Target = { group: "", version: "v1", namespace, resource, name, subresource: "proxy" };
  return { type: "Resource", verb, target, options: { query, proxied: { prefix, rest } } };
}

function verbOf(base: Verb, target: Target, query: URLSearchParams): Verb {
  if (base === "get" && target.subresource === "") {
    if (isTrue(query.get("watch"))) return "watch";
    if (target.name === "") return "list";
  }
  return base === "delete" && target.name === "" ? "deletecollection" : base;
}

/** Decoded segments; undefined when one cannot be decoded or could be mistaken for another path. */
function split(path: string): string[] | undefined {
  try {
    const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
    return parts.some((part) => part === "." || part === ".." || part.includes("/") || part.includes("\0"))
      ? undefined
      : parts;
  } catch {
    return undefined;
  }
}

/** As Go's conversion of query parameters: what is there and neither false nor 0. Python's clients say `True`. */
export function isTrue(text: string | null | undefined): boolean {
  return text !== null && text !== undefined && !/^(false|0)$/i.test(text);
}

function optionsOf(query: URLSearchParams): Options {
  const options: Record<string, unknown> = { query };
  for (const name of optionNames) if (query.has(name)) options[name] = query.get(name)!;
  if (query.has("dryRun")) options["dryRun"] = query.getAll("dryRun");
  return options as Options;
}

const optionNames = [
  "labelSelector",
  "fieldSelector",
  "resourceVersion",
  "resourceVersionMatch",
  "limit",
  "continue",
  "timeoutSeconds",
  "allowWatchBookmarks",
  "sendInitialEvents",
  "fieldManager",
  "fieldValidation",
  "force",
  "gracePeriodSeconds",
  "propagationPolicy",
  "orphanDependents",
] as const satisfies (keyof Options)[];

const namespaceSubresources = new Set(["status", "finalize"]);
