import { invalid, type Problems, required } from "../../apimachinery/field-error.ts";
import { dns1035Label, dns1123Subdomain, pathSegmentName, portNumber } from "../../apimachinery/names.ts";
import type { APIService, APIServiceCondition } from "../generated/apiregistration-v1.ts";
import { APIServices } from "../generated/resources.ts";
import { column, defineResource, shown, statusOnly, validateObjectMeta, validateObjectMetaUpdate } from "../kind.ts";

/** A group and version, and who serves it: ourselves, or a Service behind apiserver/aggregation. */
export const apiServices = defineResource(APIServices, {
  categories: ["api-extensions"],
  storagePrefix: "apiregistration.k8s.io/apiservices",
  subresources: ["status"],
  unconditionalUpdate: false,
  defaults({ spec }) {
    if (spec.service) spec.service.port ??= 443;
  },
  ...statusOnly<APIService>(({ metadata, spec }) =>
    spec.service ? {} : { conditions: [availableLocally(metadata.creationTimestamp!)] },
  ),
  validate,
  *validateUpdate(service, old) {
    yield* validateObjectMetaUpdate(service.metadata, old.metadata);
    yield* validate(service);
  },
  *validateStatusUpdate({ metadata, status }, old) {
    yield* validateObjectMetaUpdate(metadata, old.metadata);
    for (const [i, { status: one }] of (status?.conditions ?? []).entries())
      if (!/^(True|False|Unknown)$/.test(one))
        yield invalid(`status.conditions[${i}].status`, one, 'must be "True", "False" or "Unknown"');
  },
  columns: shown(
    column("Service", ({ spec }) => serviceText(spec), "The reference to the service that hosts this API endpoint."),
    column("Available", (service) => availableText(service), "Whether this service is available."),
  ),
});

export const availableLocally = (now: string): APIServiceCondition => ({
  type: "Available",
  status: "True",
  lastTransitionTime: now,
  reason: "Local",
  message: "Local APIServices are always available",
});

export const availability = ({ status }: APIService): APIServiceCondition | undefined =>
  status?.conditions?.find(({ type }) => type === "Available");

const serviceText = ({ service }: APIService["spec"]) => (service ? `${service.namespace}/${service.name}` : "Local");

function availableText(service: APIService): string {
  const { status = "Unknown", reason } = availability(service) ?? {};
  return status === "True" || !reason ? status : `${status} (${reason})`;
}

/** kube-aggregator, pkg/apis/apiregistration/validation. */
function* validate({ metadata, spec }: APIService): Problems {
  const { group = "", version = "", service, caBundle, insecureSkipTLSVerify } = spec;
  const wanted = `${version}.${group}`;
  yield* validateObjectMeta(metadata, {
    namespaced: false,
    name: (name) => {
      const minimal = pathSegmentName(name);
      if (minimal.length > 0 || name === wanted) return minimal;
      return [`must be \`spec.version+"."+spec.group\`: ${JSON.stringify(wanted)}`];
    },
  });
  const wrong = (field: string, value: unknown, text: string) => invalid(`spec.${field}`, value, text);
  if (group === "" && version !== "v1")
    yield required("spec.group", "only v1 may have an empty group and it better be legacy kube");
  if (group !== "") for (const problem of dns1123Subdomain(group)) yield wrong("group", group, problem);
  for (const problem of dns1035Label(version)) yield wrong("version", version, problem);
  const { groupPriorityMinimum = 0, versionPriority = 0 } = spec;
  for (const [field, value] of Object.entries({ groupPriorityMinimum, versionPriority })) {
    const most = field === "versionPriority" ? 1000 : 20_000;
    if (value <= 0 || value > most) yield wrong(field, value, `must be positive and less than ${most}`);
  }
  if (service === undefined) {
    const bytes = Buffer.from(caBundle ?? "", "base64").length;
    if (bytes > 0) yield wrong("caBundle", `${bytes} bytes`, "local APIServices may not have a caBundle");
    if (insecureSkipTLSVerify)
      yield wrong("insecureSkipTLSVerify", true, "local APIServices may not have insecureSkipTLSVerify");
    return;
  }
  if (!service.namespace) yield required("spec.service.namespace");
  if (!service.name) yield required("spec.service.name");
  const problems = portNumber(service.port!);
  if (problems.length > 0) yield wrong("service.port", service.port, `port is not valid: ${problems.join(",")}`);
  if (insecureSkipTLSVerify && caBundle)
    yield wrong("insecureSkipTLSVerify", true, "may not be true if caBundle is present");
}
