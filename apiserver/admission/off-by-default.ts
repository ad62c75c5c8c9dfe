import type { Container, Pod, Toleration } from "../../api/generated/core-v1.ts";
import { notSupported } from "../../apimachinery/field-error.ts";
import { invalid } from "../../apimachinery/status.ts";
import { type Attributes, isFor, type Plugin } from "./chain.ts";

const changesPod = (attributes: Attributes) =>
  isFor(attributes, "pods") && (attributes.operation === "CREATE" || attributes.operation === "UPDATE");

const containersOf = ({ spec }: Pod): [string, Container][] =>
  (["initContainers", "containers", "ephemeralContainers"] as const).flatMap((field) =>
    (spec[field] ?? []).map((container, i): [string, Container] => [`spec.${field}[${i}]`, container as Container]),
  );

/** AlwaysPullImages: every image is asked for with the Pod's own credentials, though the node may have it already. */
export const alwaysPullImages: Plugin = {
  name: "AlwaysPullImages",
  mutate(attributes) {
    if (!changesPod(attributes)) return;
    for (const [, container] of containersOf(attributes.object as Pod)) container.imagePullPolicy = "Always";
  },
  validate(attributes) {
    if (!changesPod(attributes)) return;
    const errors = containersOf(attributes.object as Pod)
      .filter(([, { imagePullPolicy }]) => imagePullPolicy !== "Always")
      .map(([path, { imagePullPolicy }]) => notSupported(`${path}.imagePullPolicy`, imagePullPolicy, ["Always"]));
    if (errors.length > 0) throw invalid(attributes.kind, attributes.name, errors);
  },
};

/** ExtendedResourceToleration: who asks for a device tolerates the taint that keeps others off its nodes. */
export const extendedResourceToleration: Plugin = {
  name: "ExtendedResourceToleration",
  mutate(attributes) {
    if (!changesPod(attributes)) return;
    const pod = attributes.object as Pod;
    const names = new Set(containersOf(pod).flatMap(([, c]) => Object.keys(c.resources?.requests ?? {})));
    for (const key of [...names].filter(isExtended).sort()) {
      const toleration: Toleration = { key, operator: "Exists", effect: "NoSchedule" };
      const covered = (pod.spec.tolerations ?? []).some(
        (own) => own.key === key && own.operator === "Exists" && (!own.effect || own.effect === "NoSchedule"),
      );
      if (!covered) pod.spec.tolerations = [...(pod.spec.tolerations ?? []), toleration];
    }
  },
};

const isExtended = (name: string) =>
  name.includes("/") && !/^([\w.-]+\.)?kubernetes\.io\//.test(name) && !name.startsWith("requests.");
