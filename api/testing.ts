import { errorText } from "../apimachinery/field-error.ts";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { examples } from "./examples.testing.ts";
import { resources } from "./resources.ts";

export const row = (kind: string) => resources().find((r) => r.kind === kind)!;
const spec = { containers: [{ name: "c", image: "i" }] };
const labels = { app: "a" };
const templated = { spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } } };
const plain: Record<string, object> = {
  ...{ Pod: { spec }, Deployment: templated, ReplicaSet: templated, Service: { spec: { ports: [{ port: 80 }] } } },
  ...{ Node: { spec: {} }, Namespace: { spec: {} }, Secret: {}, EndpointSlice: {} },
  ...{ Endpoints: {}, ComponentStatus: {}, Event: { involvedObject: { kind: "Pod", name: "p" } } },
};
/** The example of a kind with its spec (or, without one, its fields) changed, as it would be created. */
export const make = (kind: string, change: object = {}): KubernetesObject => {
  const [, example] = Object.entries(examples).find(([title]) => title.endsWith(` ${kind}`)) ?? [];
  const { spec, ...rest } = structuredClone(example?.body ?? plain[kind] ?? { spec: {} }) as { spec?: object };
  const metadata = { name: "x", uid: "u", ...(row(kind).namespaced ? { namespace: "default" } : {}) };
  const changed = spec ? { ...rest, spec: { ...spec, ...change } } : { ...rest, ...change };
  const object = { metadata, ...changed } as KubernetesObject;
  row(kind).defaults(object);
  row(kind).prepareForCreate(object);
  return object;
};

/** What upstream says to it: all problems, in its order. */
export const told = (kind: string, change: object): string[] => row(kind).validate(make(kind, change)).map(errorText);

/** The same of a status, without `status.`. */
export const toldOfStatus = (kind: string, status: object, before: object = {}, spec: object = {}): string[] => {
  const [object, old] = [status, before].map((given) => ({ ...make(kind, spec), status: given }) as KubernetesObject);
  const texts = row(kind).validateStatusUpdate(object!, old!).map(errorText);
  return texts.map((text) => text.replace(/^status\./, ""));
};

export type Told = [title: string, kind: string, change: object, problems: string[]];
