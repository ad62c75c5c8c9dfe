import { each, invalid, oneOf, type Problems, required, shaped } from "../../apimachinery/field-error.ts";
import { dns1035Label, dns1123Subdomain, portNumber } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import type * as v1 from "../generated/admissionregistration-v1.ts";
import { MutatingWebhookConfigurations, ValidatingWebhookConfigurations } from "../generated/resources.ts";
import { type Column, clusterWide, column, defineResource, generationOnly, integer, rules, shown } from "../kind.ts";
import { validateConditions, validateRule } from "./rules.ts";

type Webhook = v1.ValidatingWebhook & Pick<v1.MutatingWebhook, "reinvocationPolicy">;
type Configuration = Omit<v1.ValidatingWebhookConfiguration, "webhooks"> & { webhooks?: Webhook[] };

const maxTimeoutSeconds = 30;

const columns: Column<Configuration>[] = shown(
  column("Webhooks", ({ webhooks }) => webhooks?.length ?? 0, "How many it has.", integer),
);

const shared = {
  categories: ["api-extensions"],
  unconditionalUpdate: false,
  ...generationOnly,
  columns,
};

export const mutatingWebhookConfigurations = defineResource(MutatingWebhookConfigurations, {
  ...shared,
  defaults(configuration) {
    defaultWebhooks(configuration);
    for (const webhook of configuration.webhooks ?? []) webhook.reinvocationPolicy ??= "Never";
  },
  ...rules(clusterWide, validateWebhooks),
});

export const validatingWebhookConfigurations = defineResource(ValidatingWebhookConfigurations, {
  ...shared,
  defaults: defaultWebhooks,
  ...rules(clusterWide, validateWebhooks),
});

function defaultWebhooks({ webhooks = [] }: Configuration): void {
  for (const webhook of webhooks) {
    webhook.failurePolicy ??= "Fail";
    webhook.matchPolicy ??= "Equivalent";
    webhook.namespaceSelector ??= {};
    webhook.objectSelector ??= {};
    webhook.timeoutSeconds ??= 10;
    for (const rule of webhook.rules ?? []) rule.scope ??= "*";
    if (webhook.clientConfig?.service) webhook.clientConfig.service.port ??= 443;
  }
}

function* validateWebhooks({ webhooks }: Configuration): Problems {
  yield* each(webhooks, "webhooks", validateWebhook, { key: ({ name }) => name || undefined, at: "name" });
}

function* validateWebhook(webhook: Webhook, at: string): Problems {
  const { name, rules: list, reinvocationPolicy, timeoutSeconds: seconds = 0 } = webhook;
  if (!name) yield required(`${at}.name`);
  else yield* shaped(`${at}.name`, name, nameProblems);
  yield* each(list, `${at}.rules`, validateRule);
  yield* oneOf(`${at}.failurePolicy`, webhook.failurePolicy, ["Fail", "Ignore"], false);
  yield* oneOf(`${at}.matchPolicy`, webhook.matchPolicy, ["Equivalent", "Exact"], false);
  if (webhook.sideEffects === undefined) yield required(`${at}.sideEffects`, "must specify one of None, NoneOnDryRun");
  else yield* oneOf(`${at}.sideEffects`, webhook.sideEffects, ["None", "NoneOnDryRun"], false);
  const limits = `the timeout value must be between 1 and ${maxTimeoutSeconds} seconds`;
  if (seconds < 1 || seconds > maxTimeoutSeconds) yield invalid(`${at}.timeoutSeconds`, seconds, limits);
  yield* validateLabelSelector(webhook.namespaceSelector, `${at}.namespaceSelector`);
  yield* validateLabelSelector(webhook.objectSelector, `${at}.objectSelector`);
  if (reinvocationPolicy !== undefined)
    yield* oneOf(`${at}.reinvocationPolicy`, reinvocationPolicy, ["IfNeeded", "Never"], false);
  yield* validateClient(webhook.clientConfig ?? {}, `${at}.clientConfig`);
  yield* validateConditions(webhook.matchConditions, `${at}.matchConditions`);
  yield* validateVersions(webhook.admissionReviewVersions ?? [], `${at}.admissionReviewVersions`);
}

function nameProblems(name: string): string[] {
  const problems = dns1123Subdomain(name);
  if (problems.length > 0) return [problems.join(",")];
  return name.split(".").length < 3 ? ["should be a domain with at least three segments separated by dots"] : [];
}

const reviews = ["v1", "v1beta1"];

export function* validateVersions(versions: string[], at: string): Problems {
  if (versions.length === 0) return yield required(at, `must specify one of ${reviews.join(", ")}`);
  for (const [i, version] of versions.entries()) {
    const again = versions.indexOf(version) < i;
    yield* shaped(`${at}[${i}]`, version, again ? () => ["duplicate version"] : dns1035Label);
  }
  if (!versions.some((version) => reviews.includes(version)))
    yield invalid(at, versions, `must include at least one of ${reviews.join(", ")}`);
}

export function* validateClient({ url, service }: v1.WebhookClientConfig, at: string): Problems {
  if ((url === undefined) === (service === undefined))
    return yield required(at, "exactly one of url or service is required");
  if (url !== undefined) return yield* validateUrl(url, `${at}.url`);
  const { name, namespace, path, port } = service!;
  if (!name) yield required(`${at}.service.name`, "service name is required");
  if (!namespace) yield required(`${at}.service.namespace`, "service namespace is required");
  for (const p of portNumber(port ?? 0)) yield invalid(`${at}.service.port`, port ?? 0, `port is not valid: ${p}`);
  if (path && path !== "/") yield* shaped(`${at}.service.path`, path, pathProblems);
}

function pathProblems(path: string): string[] {
  if (path === "//") return ["segment[0] may not be empty"];
  const steps = path.slice(1).replace(/\/$/, "").split("/");
  return [
    ...(path.startsWith("/") ? [] : ["must start with a '/'"]),
    ...steps.flatMap((step, i) =>
      step ? dns1123Subdomain(step).map((p) => `segment[${i}]: ${p}`) : [`segment[${i}] may not be empty`],
    ),
  ];
}

const urlForm = "; desired format: https://host[/path]";

function* validateUrl(text: string, at: string): Problems {
  if (!URL.canParse(text))
    return yield required(at, `url must be a valid URL: parse ${JSON.stringify(text)}${urlForm}`);
  const url = new URL(text);
  if (url.protocol !== "https:")
    yield invalid(at, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${urlForm}`);
  if (!url.host) yield invalid(at, url.host, `host must be specified${urlForm}`);
  const user = [url.username, url.password].filter(Boolean).join(":");
  if (user) yield invalid(at, user, "user information is not permitted in the URL");
  if (url.hash) yield invalid(at, url.hash.slice(1), "fragments are not permitted in the URL");
  if (url.search) yield invalid(at, url.search.slice(1), "query parameters are not permitted in the URL");
}
