import type { Problems } from "../../apimachinery/field-error.ts";
import { each, invalid, nil, oneOf, required, requiredName, shaped } from "../../apimachinery/field-error.ts";
import { plainIp } from "../../apimachinery/ip.ts";
import { dns1035Label, dns1123Subdomain, portName, portNumber } from "../../apimachinery/names.ts";
import { validatePoints } from "../core/service-validation.ts";
import type { HTTPIngressPath, Ingress, IngressBackend, IngressRule } from "../generated/networking-v1.ts";
import { Ingresses } from "../generated/resources.ts";
import { column, defineResource, join, namespaced, orNone, pointsOf, rules, shown, startingStatus } from "../kind.ts";
import { validateReference } from "./ingress-class.ts";

const classAnnotation = "kubernetes.io/ingress.class";
const pointsIn = ({ status }: Ingress) => status?.loadBalancer?.ingress ?? [];
const ingressRules = rules<Ingress>(namespaced, validateSpec, undefined, (ingress, old) =>
  validatePoints(pointsIn(ingress), pointsIn(old), "status.loadBalancer.ingress"),
);

export const ingresses = defineResource(Ingresses, {
  shortNames: ["ing"],
  storagePrefix: "ingress",
  subresources: ["status"],
  ...startingStatus(() => ({ loadBalancer: {} })),
  ...ingressRules,
  *validate(ingress) {
    yield* ingressRules.validate(ingress);
    const given = ingress.metadata.annotations?.[classAnnotation];
    const { ingressClassName: name } = ingress.spec;
    if (given !== undefined && name !== undefined && given !== name) {
      const text = "must match `ingressClassName` when both are specified";
      yield invalid(`annotations.${classAnnotation}`, given, text);
    }
  },
  columns: shown(
    column("Class", ({ spec }) => orNone(spec.ingressClassName), "Which controller serves it."),
    column("Hosts", hosts, "Hosts it answers for."),
    column("Address", ({ status }) => join(pointsOf(status?.loadBalancer)), "Where it is reached."),
    column("Ports", ({ spec }) => (spec.tls?.length ? "80, 443" : "80"), "Ports that it answers on."),
  ),
});

const shownHosts = 3;

/** The first three; every rule after them counts, with a host or without. */
function hosts({ spec: { rules: all = [] } }: Ingress): string {
  const named = all.filter(({ host }) => host).slice(0, shownHosts);
  const full = named.length === shownHosts && named.at(-1) !== all.at(-1);
  return (named.map(({ host }) => host).join(",") || "*") + (full ? ` + ${all.length - shownHosts} more...` : "");
}

/** What secrets and wildcards an older one named may stay wrong. */
function* validateSpec({ spec }: Ingress, old?: Ingress): Problems {
  const list = spec.rules ?? [];
  const anySecret = old?.spec.tls?.some(({ secretName }) => secretName && dns1123Subdomain(secretName).length > 0);
  const isWild = ({ host }: IngressRule) => host?.includes("*");
  const anyWildcard = old?.spec.rules?.some((rule) => isWild(rule) && !validateRule(rule, "").next().done);
  if (list.length === 0 && !spec.defaultBackend)
    yield invalid("spec", spec.rules ?? nil, "either `defaultBackend` or `rules` must be specified");
  if (spec.defaultBackend) yield* validateBackend(spec.defaultBackend, "spec.defaultBackend");
  yield* each(list, "spec.rules", function* (rule, at) {
    yield* validateHost(rule.host, `${at}.host`);
    if (!(anyWildcard && isWild(rule))) yield* validateRule(rule, at);
  });
  yield* each(spec.tls, "spec.tls", function* ({ hosts: names = [], secretName }, at) {
    for (const [j, host] of names.entries()) yield* shaped(`${at}.hosts[${j}]`, host, hostProblems);
    if (secretName && !anySecret) yield* shaped(`${at}.secretName`, secretName, dns1123Subdomain);
  });
  if (spec.ingressClassName !== undefined)
    yield* shaped("spec.ingressClassName", spec.ingressClassName, dns1123Subdomain);
}

function* validateRule({ http }: IngressRule, at: string): Problems {
  if (!http) return;
  if (!http.paths?.length) yield required(`${at}.http.paths`);
  yield* each(http.paths, `${at}.http.paths`, validatePath);
}

function* validateHost(host: string | undefined, at: string): Problems {
  if (!host) return;
  if (plainIp(host)) yield invalid(at, host, "must be a DNS name, not an IP address");
  yield* shaped(at, host, hostProblems);
}

const wildcardText =
  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

function hostProblems(host: string): string[] {
  if (!host.includes("*")) return dns1123Subdomain(host);
  return host.startsWith("*.") && dns1123Subdomain(host.slice(2)).length === 0 ? [] : [wildcardText];
}

const pathTypes = ["Exact", "ImplementationSpecific", "Prefix"];
const badSequences = ["//", "/./", "/../", "%2f", "%2F"];
const badSuffixes = ["/..", "/."];

function* validatePath({ path = "", pathType, backend }: HTTPIngressPath, at: string): Problems {
  if (!pathType) return yield required(`${at}.pathType`, "pathType must be specified");
  yield* oneOf(`${at}.pathType`, pathType, pathTypes, true);
  const strict = pathType === "Exact" || pathType === "Prefix";
  if ((strict || (path && pathType === "ImplementationSpecific")) && !path.startsWith("/"))
    yield invalid(`${at}.path`, path, "must be an absolute path");
  if (strict) {
    for (const bad of badSequences)
      if (path.includes(bad)) yield invalid(`${at}.path`, path, `must not contain '${bad}'`);
    for (const bad of badSuffixes)
      if (path.endsWith(bad)) yield invalid(`${at}.path`, path, `cannot end with '${bad}'`);
  }
  yield* validateBackend(backend, `${at}.backend`);
}

function* validateBackend(backend: IngressBackend | undefined, at: string): Problems {
  const { service, resource } = backend ?? {};
  if (service && resource) return yield invalid(at, "", "cannot set both resource and service backends");
  if (resource) return yield* validateReference(resource, `${at}.resource`);
  if (!service) return yield invalid(at, "", "resource or service backend is required");
  const path = `${at}.service`;
  yield* requiredName(`${path}.name`, service.name, dns1035Label);
  const { name, number } = service.port ?? {};
  if (name && number) yield invalid(at, "", "cannot set both port name & port number");
  else if (name) yield* shaped(`${path}.port.name`, name, portName);
  else if (number) yield* shaped(`${path}.port.number`, number, portNumber);
  else yield required(at, "port name or number is required");
}
