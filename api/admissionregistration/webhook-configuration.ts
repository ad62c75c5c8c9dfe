import { duplicate, type FieldError, invalidValue, required } from "../../apimachinery/field-error.ts";
import { dns1035Label, dns1123Subdomain, portNumber } from "../../apimachinery/names.ts";
import { validateLabelSelector } from "../../apimachinery/selectors.ts";
import { ageColumn, column, integer, nameColumn } from "../columns.ts";
import { oneOf } from "../core/container-validation.ts";
import type {
  MutatingWebhook,
  MutatingWebhookConfiguration,
  ValidatingWebhook,
  ValidatingWebhookConfiguration,
  WebhookClientConfig,
} from "../generated/admissionregistration-v1.ts";
import { MutatingWebhookConfigurations, ValidatingWebhookConfigurations } from "../generated/resources.ts";
import { clusterWide, rules } from "../metadata.ts";
import { type Column, defineResource, type Resource } from "../resource.ts";
import { generationOnly } from "../strategy.ts";
import { validateConditions, validateRule } from "./rules.ts";

type Webhook = ValidatingWebhook & Pick<MutatingWebhook, "reinvocationPolicy">;
type Configuration = Omit<ValidatingWebhookConfiguration, "webhooks"> & { webhooks?: Webhook[] };

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

export const mutatingWebhookConfigurations: Resource<MutatingWebhookConfiguration> = defineResource(
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

export const validatingWebhookConfigurations: Resource<ValidatingWebhookConfiguration> = defineResource(
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

function validateWebhooks({ webhooks = [] }: Configuration, mutating: boolean): FieldError[] {
  const names = new Set<string>();
  return webhooks.flatMap((webhook, i) => {
    const at = `webhooks[${i}]`;
    const errors = validateWebhook(webhook, at);
    const { name, reinvocationPolicy } = webhook;
    if (name && names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (mutating && reinvocationPolicy !== undefined)
      errors.push(...oneOf(`${at}.reinvocationPolicy`, reinvocationPolicy, ["IfNeeded", "Never"], false));
    return errors;
  });
}

function validateWebhook(webhook: Webhook, at: string): FieldError[] {
  const errors = validateName(webhook.name, `${at}.name`);
  for (const [i, rule] of (webhook.rules ?? []).entries()) errors.push(...validateRule(rule, `${at}.rules[${i}]`));
  errors.push(...oneOf(`${at}.failurePolicy`, webhook.failurePolicy, ["Fail", "Ignore"], false));
  errors.push(...oneOf(`${at}.matchPolicy`, webhook.matchPolicy, ["Equivalent", "Exact"], false));
  if (!webhook.sideEffects) errors.push(required(`${at}.sideEffects`, "must specify one of None, NoneOnDryRun"));
  else errors.push(...oneOf(`${at}.sideEffects`, webhook.sideEffects, ["None", "NoneOnDryRun"], false));
  const seconds = webhook.timeoutSeconds ?? 0;
  if (seconds < 1 || seconds > maxTimeoutSeconds)
    errors.push(
      invalidValue(
        `${at}.timeoutSeconds`,
        seconds,
        `the timeout value must be between 1 and ${maxTimeoutSeconds} seconds`,
      ),
    );
  errors.push(...validateLabelSelector(webhook.namespaceSelector, `${at}.namespaceSelector`));
  errors.push(...validateLabelSelector(webhook.objectSelector, `${at}.objectSelector`));
  errors.push(...validateVersions(webhook.admissionReviewVersions ?? [], `${at}.admissionReviewVersions`));
  errors.push(...validateClient(webhook.clientConfig ?? {}, `${at}.clientConfig`));
  return [...errors, ...validateConditions(webhook.matchConditions, `${at}.matchConditions`)];
}

function validateName(name: string | undefined, at: string): FieldError[] {
  if (!name) return [required(at)];
  const problems = dns1123Subdomain(name).map((p) => invalidValue(at, name, p));
  return problems.length === 0 && name.split(".").length < 3
    ? [invalidValue(at, name, "should be a domain with at least three segments separated by dots")]
    : problems;
}

const reviews = ["v1", "v1beta1"];

export function validateVersions(versions: string[], at: string): FieldError[] {
  if (versions.length === 0) return [required(at, `must specify one of ${reviews.join(", ")}`)];
  const errors = versions.flatMap((version, i) => [
    ...dns1035Label(version).map((p) => invalidValue(`${at}[${i}]`, version, p)),
    ...(versions.indexOf(version) < i ? [invalidValue(`${at}[${i}]`, version, "duplicate version")] : []),
  ]);
  if (errors.length === 0 && !versions.some((version) => reviews.includes(version)))
    errors.push(invalidValue(at, versions, `must include at least one of ${reviews.join(", ")}`));
  return errors;
}

export function validateClient({ url, service }: WebhookClientConfig, at: string): FieldError[] {
  if ((url === undefined) === (service === undefined))
    return [required(at, "exactly one of url or service is required")];
  if (url !== undefined) return validateUrl(url, `${at}.url`);
  const { name, namespace, path, port } = service!;
  const errors: FieldError[] = [];
  if (!name) errors.push(required(`${at}.service.name`, "service name is required"));
  if (!namespace) errors.push(required(`${at}.service.namespace`, "service namespace is required"));
  for (const p of portNumber(port ?? 0))
    errors.push(invalidValue(`${at}.service.port`, port ?? 0, `port is not valid: ${p}`));
  if (path && !path.startsWith("/")) errors.push(invalidValue(`${at}.service.path`, path, "must start with a '/'"));
  return errors;
}

const urlForm = "; desired format: https://host[/path]";

function validateUrl(text: string, at: string): FieldError[] {
  if (!URL.canParse(text)) return [required(at, `url must be a valid URL: parse ${JSON.stringify(text)}${urlForm}`)];
  const url = new URL(text);
  const errors: FieldError[] = [];
  if (url.protocol !== "https:")
    errors.push(invalidValue(at, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${urlForm}`));
  if (!url.host) errors.push(invalidValue(at, url.host, `host must be specified${urlForm}`));
  if (url.username) errors.push(invalidValue(at, url.username, "user information is not permitted in the URL"));
  if (url.hash) errors.push(invalidValue(at, url.hash.slice(1), "fragments are not permitted in the URL"));
  if (url.search) errors.push(invalidValue(at, url.search.slice(1), "query parameters are not permitted in the URL"));
  return errors;
}
