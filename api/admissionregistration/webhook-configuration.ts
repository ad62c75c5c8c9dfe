import { duplicate, invalidValue, type Problems, required } from "../../apimachinery/field-error.ts";
import { dns1035Label, dns1123Subdomain, portNumber } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { ageColumn, column, integer, nameColumn } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import type * as v1 from "../generated/admissionregistration-v1.ts";
import { MutatingWebhookConfigurations, ValidatingWebhookConfigurations } from "../generated/resources.ts";
import { clusterWide, rules } from "../metadata.ts";
import { type Column, defineResource, type Resource } from "../resource.ts";
import { generationOnly } from "../strategy.ts";
import { validateConditions, validateRule } from "./rules.ts";

type Webhook = v1.ValidatingWebhook & Pick<v1.MutatingWebhook, "reinvocationPolicy">;
type Configuration = Omit<v1.ValidatingWebhookConfiguration, "webhooks"> & { webhooks?: Webhook[] };

const maxTimeoutSeconds = 30;

const columns: Column<Configuration>[] = [
  nameColumn,
  column("Webhooks", ({ webhooks }) => webhooks?.length ?? 0, "How many it has.", integer),
  ageColumn,
];

const shared = {
  categories: ["api-extensions"],
  unconditionalUpdate: false,
  ...generationOnly,
  columns,
};

export const mutatingWebhookConfigurations: Resource<v1.MutatingWebhookConfiguration> = defineResource(
  MutatingWebhookConfigurations,
  {
    ...shared,
    defaults(configuration) {
      defaultWebhooks(configuration);
      for (const webhook of configuration.webhooks ?? []) webhook.reinvocationPolicy ??= "Never";
    },
    ...rules(clusterWide, (configuration: Configuration) => validateWebhooks(configuration, true)),
  },
);

export const validatingWebhookConfigurations: Resource<v1.ValidatingWebhookConfiguration> = defineResource(
  ValidatingWebhookConfigurations,
  {
    ...shared,
    defaults: defaultWebhooks,
    ...rules(clusterWide, (configuration: Configuration) => validateWebhooks(configuration, false)),
  },
);

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

function* validateWebhooks({ webhooks = [] }: Configuration, mutating: boolean): Problems {
  const names = new Set<string>();
  for (const [i, webhook] of webhooks.entries()) {
    const at = `webhooks[${i}]`;
    yield* validateWebhook(webhook, at);
    const { name, reinvocationPolicy } = webhook;
    if (name && names.has(name)) yield duplicate(`${at}.name`, name);
    names.add(name);
    if (mutating && reinvocationPolicy !== undefined)
      yield* oneOf(`${at}.reinvocationPolicy`, reinvocationPolicy, ["IfNeeded", "Never"], false);
  }
}

function* validateWebhook(webhook: Webhook, at: string): Problems {
  yield* validateName(webhook.name, `${at}.name`);
  for (const [i, rule] of (webhook.rules ?? []).entries()) yield* validateRule(rule, `${at}.rules[${i}]`);
  yield* oneOf(`${at}.failurePolicy`, webhook.failurePolicy, ["Fail", "Ignore"], false);
  yield* oneOf(`${at}.matchPolicy`, webhook.matchPolicy, ["Equivalent", "Exact"], false);
  if (!webhook.sideEffects) yield required(`${at}.sideEffects`, "must specify one of None, NoneOnDryRun");
  else yield* oneOf(`${at}.sideEffects`, webhook.sideEffects, ["None", "NoneOnDryRun"], false);
  const seconds = webhook.timeoutSeconds ?? 0;
  if (seconds < 1 || seconds > maxTimeoutSeconds)
    yield invalidValue(
      `${at}.timeoutSeconds`,
      seconds,
      `the timeout value must be between 1 and ${maxTimeoutSeconds} seconds`,
    );
  yield* validateLabelSelector(webhook.namespaceSelector, `${at}.namespaceSelector`);
  yield* validateLabelSelector(webhook.objectSelector, `${at}.objectSelector`);
  yield* validateVersions(webhook.admissionReviewVersions ?? [], `${at}.admissionReviewVersions`);
  yield* validateClient(webhook.clientConfig ?? {}, `${at}.clientConfig`);
  yield* validateConditions(webhook.matchConditions, `${at}.matchConditions`);
}

function* validateName(name: string | undefined, at: string): Problems {
  if (!name) return yield required(at);
  const problems = dns1123Subdomain(name).map((p) => invalidValue(at, name, p));
  if (problems.length === 0 && name.split(".").length < 3)
    yield invalidValue(at, name, "should be a domain with at least three segments separated by dots");
  else yield* problems;
}

const reviews = ["v1", "v1beta1"];

export function* validateVersions(versions: string[], at: string): Problems {
  if (versions.length === 0) return yield required(at, `must specify one of ${reviews.join(", ")}`);
  let fine = true;
  for (const [i, version] of versions.entries()) {
    const problems = [...dns1035Label(version), ...(versions.indexOf(version) < i ? ["duplicate version"] : [])];
    for (const p of problems) yield invalidValue(`${at}[${i}]`, version, p);
    fine &&= problems.length === 0;
  }
  if (fine && !versions.some((version) => reviews.includes(version)))
    yield invalidValue(at, versions, `must include at least one of ${reviews.join(", ")}`);
}

export function* validateClient({ url, service }: v1.WebhookClientConfig, at: string): Problems {
  if ((url === undefined) === (service === undefined))
    return yield required(at, "exactly one of url or service is required");
  if (url !== undefined) return yield* validateUrl(url, `${at}.url`);
  const { name, namespace, path, port } = service!;
  if (!name) yield required(`${at}.service.name`, "service name is required");
  if (!namespace) yield required(`${at}.service.namespace`, "service namespace is required");
  for (const p of portNumber(port ?? 0)) yield invalidValue(`${at}.service.port`, port ?? 0, `port is not valid: ${p}`);
  if (path && !path.startsWith("/")) yield invalidValue(`${at}.service.path`, path, "must start with a '/'");
}

const urlForm = "; desired format: https://host[/path]";

function* validateUrl(text: string, at: string): Problems {
  if (!URL.canParse(text))
    return yield required(at, `url must be a valid URL: parse ${JSON.stringify(text)}${urlForm}`);
  const url = new URL(text);
  if (url.protocol !== "https:")
    yield invalidValue(at, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${urlForm}`);
  if (!url.host) yield invalidValue(at, url.host, `host must be specified${urlForm}`);
  if (url.username) yield invalidValue(at, url.username, "user information is not permitted in the URL");
  if (url.hash) yield invalidValue(at, url.hash.slice(1), "fragments are not permitted in the URL");
  if (url.search) yield invalidValue(at, url.search.slice(1), "query parameters are not permitted in the URL");
}
