import { each, forbidden, invalid, notFound, type Problems } from "../../apimachinery/field-error.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import type { Container, Pod } from "../generated/core-v1.ts";
import { countGeneration, keepAll, type Part, validateObjectMetaUpdate } from "../kind.ts";
import { isSidecar, qosClass } from "./pod-status.ts";
import { validatePodSpec } from "./pod-validation.ts";

/** What `pods/ephemeralcontainers` and `pods/resize` write: one part of the spec, and nothing else. */
export const mirror = "kubernetes.io/config.mirror";

export const ephemeralContainers: Part<Pod> = {
  owns: [["spec", "ephemeralContainers"]],
  prepare(pod, old) {
    const added = pod.spec.ephemeralContainers;
    keepAll(pod, old);
    if (added?.length) pod.spec.ephemeralContainers = added;
    else delete pod.spec.ephemeralContainers;
    countGeneration(pod, old);
  },
  *validate(pod, old) {
    if (old.metadata.annotations?.[mirror] !== undefined)
      return yield forbidden("", "static pods do not support ephemeral containers");
    yield* validateObjectMetaUpdate(pod.metadata, old.metadata);
    yield* validatePodSpec(pod.spec, "spec");
    yield* validateEphemeral(pod);
    const now = new Map(pod.spec.ephemeralContainers?.map((container) => [container.name, container]));
    for (const before of old.spec.ephemeralContainers ?? []) {
      const name = JSON.stringify(before.name);
      const after = now.get(before.name);
      const refused = (what: string) =>
        forbidden("spec.ephemeralContainers", `existing ephemeral containers ${name} may not be ${what}\n`);
      if (after === undefined) yield refused("removed");
      else if (!sameJson(after, before)) yield refused("changed");
    }
  },
};

/** A debugger has no ports, probes or limits of its own (upstream's allow-list of its fields). */
const ofOthers = [
  ...(["ports", "resources", "resizePolicy", "restartPolicy"] as const),
  ...(["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] as const),
];

function* validateEphemeral({ spec }: Pod): Problems {
  const others = new Set([...spec.containers, ...(spec.initContainers ?? [])].map(({ name }) => name));
  yield* each(spec.ephemeralContainers, "spec.ephemeralContainers", function* (container, at) {
    for (const field of ofOthers) {
      const value = container[field];
      if (value !== undefined && Object.keys(value).length > 0)
        yield forbidden(`${at}.${field}`, "cannot be set for an Ephemeral Container");
    }
    const target = container.targetContainerName;
    if (target && !others.has(target)) yield notFound(`${at}.targetContainerName`, target);
    for (const [j, { subPath, subPathExpr }] of (container.volumeMounts ?? []).entries())
      for (const [name, value] of Object.entries({ subPath, subPathExpr }))
        if (value) yield forbidden(`${at}.volumeMounts[${j}].${name}`, "cannot be set for an Ephemeral Container");
  });
}

export const resize: Part<Pod> = {
  owns: [["spec", "containers"] as const, ["spec", "initContainers"] as const],
  prepare(pod, old) {
    const { containers, initContainers } = pod.spec;
    if (!samePlaces(pod, old)) return; // validation tells
    keepAll(pod, old);
    for (const [list, sent] of [
      [pod.spec.containers, containers],
      [pod.spec.initContainers ?? [], initContainers ?? []],
    ] as const)
      for (const [i, { resources, resizePolicy }] of sent.entries())
        Object.assign(list[i]!, { ...(resources && { resources }), ...(resizePolicy && { resizePolicy }) });
    countGeneration(pod, old);
  },
  *validate(pod, old) {
    const asks = ({ spec: { resources: own = {} } }: Pod) => Object.keys({ ...own.requests, ...own.limits }).length > 0;
    const all = (what: string) => forbidden("", `${what} cannot be resized`);
    if (asks(pod) || asks(old)) return yield all("pods with pod-level resources");
    if (old.metadata.annotations?.[mirror] !== undefined) return yield all("static pods");
    if (old.spec.os?.name === "windows") return yield all("windows pods");
    yield* validateObjectMetaUpdate(pod.metadata, old.metadata);
    yield* validatePodSpec(pod.spec, "spec");
    const qos = old.status?.qosClass ?? qosClass(old.spec);
    if (qosClass(pod.spec) !== qos) yield invalid("spec", qos, "Pod QOS Class may not change as a result of resizing");
    const running = old.status?.containerStatuses?.find(({ state }) => state?.running);
    if (running && !running.resources) yield forbidden("spec", "Pod running on node without support for resize");
    if (!samePlaces(pod, old)) return yield forbidden("spec", "only cpu and memory resources are mutable");
    for (const list of ["initContainers", "containers"] as const)
      for (const [i, before] of (old.spec[list] ?? []).entries())
        for (const kind of list === "containers" || isSidecar(before) ? (["requests", "limits"] as const) : []) {
          const now = pod.spec[list]![i]!.resources?.[kind] ?? {};
          if (Object.keys(before.resources?.[kind] ?? {}).some((name) => now[name] === undefined))
            yield forbidden(`spec.${list}[${i}].resources.${kind}`, `resource ${kind} cannot be removed`);
        }
    for (const list of ["containers", "initContainers"] as const)
      for (const [i, before] of (old.spec[list] ?? []).entries()) {
        const isFixed = list === "initContainers" && !isSidecar(before);
        const rest = isFixed ? (container: Container) => container : unresized;
        if (sameJson(rest(pod.spec[list]![i]!), rest(before))) continue;
        const whose = list === "containers" ? "" : " for sidecar containers";
        const text = `only cpu and memory resources${whose} are mutable`;
        yield forbidden("spec", isFixed ? "resources for non-sidecar init containers are immutable" : text);
      }
  },
};

const samePlaces = ({ spec }: Pod, { spec: old }: Pod): boolean =>
  sameNames(spec.containers, old.containers) && sameNames(spec.initContainers, old.initContainers);

const sameNames = (a: Container[] = [], b: Container[] = []): boolean =>
  a.length === b.length && a.every(({ name }, i) => name === b[i]!.name);

function unresized({ resources, ...container }: Container): unknown {
  const other = (map: Record<string, string> = {}) =>
    Object.fromEntries(Object.entries(map).filter(([name]) => name !== "cpu" && name !== "memory"));
  return {
    ...container,
    resources: { ...resources, limits: other(resources?.limits), requests: other(resources?.requests) },
  };
}
