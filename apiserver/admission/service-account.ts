import type { Container, Pod, PodSpec, ServiceAccount, Volume } from "../../api/generated/core-v1.ts";
import { ServiceAccounts } from "../../api/generated/resources.ts";
import { forbidden } from "../../apimachinery/status.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import { generateName } from "../registry/write.ts";
import { type Attributes, isFor, type Plugin } from "./chain.ts";
import type { Cluster } from "./cluster.ts";

/**
 * ServiceAccount: a Pod runs as an account that exists, `default` without another, finds its token in a volume, takes
 * over its pull secrets, and names no Secrets besides the account's where that is enforced.
 */
export function serviceAccount(clock: Clock, rand: Rand): Plugin {
  return {
    name: "ServiceAccount",
    mutate(attributes, cluster) {
      if (!applies(attributes) || isMirror(attributes.object as Pod)) return false;
      const pod = attributes.object as Pod;
      pod.spec.serviceAccountName ||= "default";
      pod.spec.serviceAccount = pod.spec.serviceAccountName;
      const key = { namespace: attributes.namespace, name: pod.spec.serviceAccountName };
      const found = cluster.get(ServiceAccounts, key);
      if (found !== undefined) return complete(pod, found, rand);
      return waitFor(cluster, key, clock).then((live) => {
        if (live !== undefined) return complete(pod, live, rand);
        const text = `error looking up service account ${key.namespace}/${key.name}: serviceaccount ${JSON.stringify(key.name)} not found`;
        throw forbidden(attributes.resource, attributes.name, text);
      });
    },
    validate(attributes, cluster) {
      if (!applies(attributes)) return;
      const pod = attributes.object as Pod;
      const refuse = (text: string) => forbidden(attributes.resource, attributes.name, text);
      if (isMirror(pod)) {
        if (pod.spec.serviceAccountName) throw refuse("a mirror pod may not reference service accounts");
        if (secretsOf(pod).length > 0) throw refuse("a mirror pod may not reference secrets");
        return;
      }
      const account = cluster.get(ServiceAccounts, {
        namespace: attributes.namespace,
        name: pod.spec.serviceAccountName!,
      });
      if (account?.metadata.annotations?.["kubernetes.io/enforce-mountable-secrets"] !== "true") return;
      const problem = unreferenced(pod, account);
      if (problem !== undefined) throw refuse(problem);
    },
  };
}

const applies = (attributes: Attributes) => attributes.operation === "CREATE" && isFor(attributes, "pods");
const isMirror = ({ metadata }: Pod) => metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined;

/** The controller makes `default` soon after its Namespace. */
async function waitFor(cluster: Cluster, key: { namespace: string; name: string }, clock: Clock) {
  for (let attempt = 0; ; attempt++) {
    const found = await cluster.live(ServiceAccounts, key);
    if (found !== undefined || key.name !== "default" || attempt === 10) return found;
    await sleep(clock, 150);
  }
}

function complete({ spec }: Pod, { imagePullSecrets = [], ...account }: ServiceAccount, rand: Rand): boolean {
  if (!spec.imagePullSecrets?.length && imagePullSecrets.length > 0)
    spec.imagePullSecrets = imagePullSecrets.map(({ name }) => ({ name: name! }));
  const automounts = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
  return automounts && mountToken(spec, rand);
}

/** Where client libraries look for the token, the authority and the Namespace. */
function mountToken(spec: PodSpec, rand: Rand): boolean {
  const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
  const bare = [...(spec.initContainers ?? []), ...spec.containers].filter(
    ({ volumeMounts = [] }) => !volumeMounts.some((mount) => mount.mountPath === mountPath),
  );
  if (bare.length === 0) return false;
  const present = spec.volumes?.find((volume) => volume.name.startsWith("kube-api-access-"));
  const name = present?.name ?? generateName("kube-api-access-", (bound) => rand.below(bound));
  for (const container of bare)
    container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath }];
  if (present === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
  return true;
}

function tokenVolume(name: string): Volume {
  const token = { serviceAccountToken: { path: "token", expirationSeconds: 3607 } };
  const authority = { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } };
  const fieldRef = { apiVersion: "v1", fieldPath: "metadata.namespace" };
  const namespace = { downwardAPI: { items: [{ path: "namespace", fieldRef }] } };
  return { name, projected: { defaultMode: 0o644, sources: [token, authority, namespace] } };
}

/** The Secrets that a Pod names, each with how upstream says that it may not. */
function secretsOf({ spec }: Pod): { name: string; text: string }[] {
  const found: { name: string; text: string }[] = [];
  const add = (name: string | undefined, where: string) => {
    if (name) found.push({ name, text: `${where} secret.secretName="${name}"` });
  };
  const visit = (kind: string, containers: readonly Container[] = []) => {
    for (const { name: container, env = [], envFrom = [] } of containers) {
      for (const { name, valueFrom } of env)
        add(valueFrom?.secretKeyRef?.name, `${kind} ${container} with env variable ${name} referencing`);
      for (const { secretRef } of envFrom) add(secretRef?.name, `${kind} ${container} with envFrom referencing`);
    }
  };
  for (const { secret } of spec.volumes ?? []) add(secret?.secretName, "volume with");
  visit("init container", spec.initContainers);
  visit("container", spec.containers);
  return found;
}

function unreferenced(pod: Pod, { metadata, secrets = [], imagePullSecrets = [] }: ServiceAccount): string | undefined {
  for (const { name, text } of secretsOf(pod))
    if (!secrets.some((own) => own.name === name))
      return `${text} is not allowed because service account ${metadata.name} does not reference that secret`;
  for (const [i, { name }] of (pod.spec.imagePullSecrets ?? []).entries())
    if (!imagePullSecrets.some((own) => own.name === name))
      return `imagePullSecrets[${i}].name="${name}" is not allowed because service account ${metadata.name} does not reference that imagePullSecret`;
  return undefined;
}
