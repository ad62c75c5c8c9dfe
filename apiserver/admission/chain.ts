import type { Resource } from "../../api/resource.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import type { User } from "../request.ts";
import type { Cluster } from "./cluster.ts";

/**
 * What is about to happen, as admission sees it. Source: k8s.io/apiserver/pkg/admission.
 *
 * | operation | object | oldObject |
 * |---|---|---|
 * | CREATE | what is to be stored, or the subresource's body (Binding, Eviction) | undefined |
 * | UPDATE | what is to be stored; at `scale` the Scale | what is stored |
 * | DELETE | undefined | what is stored |
 * | CONNECT | the options (PodExecOptions, PodProxyOptions ...) | undefined |
 */
export interface Attributes {
  operation: Operation;
  /** The row of the resource; a custom one's too. */
  resource: Resource;
  /** The row of the version that was asked for, when that is not the stored one. */
  requested?: Resource;
  /** Of `object`: the resource's own, or the subresource's. */
  kind: { group: string; version: string; kind: string };
  /** `status`, `binding`, `exec`, ...; "" for the resource itself. */
  subresource: string;
  /** "" for what is in no Namespace. */
  namespace: string;
  name: string;
  user: User;
  /** Plug-ins that mutate change it in place, or put another one here. */
  object: KubernetesObject | undefined;
  /** Not to be changed. */
  oldObject: KubernetesObject | undefined;
  /** CreateOptions, UpdateOptions, PatchOptions or DeleteOptions; undefined for CONNECT. */
  options: object | undefined;
  dryRun: boolean;
  /** Texts for `Warning` headers go here. */
  warnings: string[];
  /** Set when webhooks changed the object and all that mutate look at it a second time. */
  again?: boolean;
  /** What the audit log shall say of the decision. */
  auditAnnotations: Map<string, string>;
}

export type Operation = "CREATE" | "UPDATE" | "DELETE" | "CONNECT";

/**
 * A plug-in changes the object (`mutate` says whether it did), or throws a StatusError. All mutate before the object is
 * validated, all validate after. What has to ask someone is asynchronous; the others cost no turn of the loop.
 */
export interface Plugin {
  /** As in --enable-admission-plugins. */
  readonly name: string;
  /** Others look once more at what it changed. */
  readonly reinvokes?: boolean;
  // biome-ignore lint/suspicious/noConfusingVoidType: most plug-ins say nothing
  mutate?(attributes: Attributes, cluster: Cluster): boolean | void | Promise<boolean>;
  validate?(attributes: Attributes, cluster: Cluster): void | Promise<void>;
}

/** What the registry calls: `mutate` before it validates an object, `validate` right before it is written. */
export interface Admission {
  /** Whether the object was changed. */
  mutate(attributes: Attributes): Promise<boolean>;
  validate(attributes: Attributes): Promise<void>;
}

export function admissionChain(plugins: readonly Plugin[], cluster: Cluster): Admission {
  return {
    async mutate(attributes) {
      let changed = false;
      const run = async (): Promise<boolean> => {
        let again = false;
        for (const plugin of plugins) {
          const answer = plugin.mutate?.(attributes, cluster);
          if (answer !== true && !(answer && (await answer))) continue;
          changed = true;
          if (plugin.reinvokes) again = true;
        }
        return again;
      };
      if (await run()) {
        attributes.again = true;
        await run();
      }
      return changed;
    },
    async validate(attributes) {
      for (const plugin of plugins) {
        const answer = plugin.validate?.(attributes, cluster);
        if (answer) await answer;
      }
    },
  };
}

/** The usual question of a plug-in for Pods: the Pod of a request for the resource itself, not a subresource. */
export function isFor({ resource, subresource }: Attributes, name: string, group = ""): boolean {
  return resource.resource === name && resource.group === group && subresource === "";
}
