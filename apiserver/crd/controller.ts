import {
  cleanupFinalizer,
  customResourceDefinitions,
  setCondition,
  storageVersion,
} from "../../api/apiextensions/custom-resource-definition.ts";
import type { CustomResourceDefinition } from "../../api/generated/apiextensions-v1.ts";
import type { Resource } from "../../api/resource.ts";
import { sameJson } from "../../apimachinery/same-json.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { Logger } from "../../base/logger.ts";
import { deleteCollection } from "../registry/delete.ts";
import { onChange } from "../registry/on-change.ts";
import type { Registry } from "../registry/registry.ts";
import { systemChange, systemWrite } from "../registry/system-objects.ts";
import { customResource } from "./custom-resource.ts";
import { definitionsPrefix, statusOfDefinition } from "./definitions.ts";

/**
 * Gives definitions their status, and clears the way for those that go: their instances go first. Every apiserver does
 * this; all come to the same result, and writes are conditional.
 */
export class DefinitionsController {
  readonly #registry: Registry;
  readonly #log: Logger;

  constructor(registry: Registry, log: Logger) {
    this.#registry = registry;
    this.#log = log;
  }

  run(signal: AbortSignal): Promise<void> {
    const followed = { prefixes: [definitionsPrefix], log: this.#log, what: "CustomResourceDefinitions" };
    return onChange(this.#registry.context, followed, () => this.#sync(), signal);
  }

  /** When to come again, while something is left to be done that nobody will tell us of. */
  async #sync(): Promise<number | undefined> {
    const { cache, clock } = this.#registry.context;
    const stored = [...cache.resource(definitionsPrefix).objects.values()];
    const all = stored.map((one) => one.parse() as CustomResourceDefinition);
    let pending = false;
    for (const definition of all) {
      const now = formatTime(clock.now());
      if (definition.metadata.deletionTimestamp === undefined) {
        const status = statusOfDefinition(definition, all, now);
        if (sameJson(status, definition.status)) continue;
        await this.#update(definition, "status", (object) => (object.status = statusOfDefinition(object, all, now)!));
        Object.assign(definition, { status }); // the next of the same group sees what was given
      } else if (definition.metadata.finalizers?.includes(cleanupFinalizer)) {
        if (await this.#instancesLeft(definition)) pending = true;
        else
          await this.#update(definition, "", (object) => {
            setCondition(object, { ...deletionCompleted, lastTransitionTime: now });
            object.metadata.finalizers = object.metadata.finalizers?.filter((name) => name !== cleanupFinalizer) ?? [];
          });
      }
    }
    return pending ? retryMs : undefined;
  }

  async #instancesLeft(definition: CustomResourceDefinition): Promise<boolean> {
    const version = storageVersion(definition);
    if (version === undefined || !definition.status?.acceptedNames?.plural) return false;
    const { context } = this.#registry;
    // Nobody is asked to convert what only has to go.
    const plain = { ...definition, spec: { ...definition.spec, conversion: { strategy: "None" } } };
    const row = customResource(plain, version, () => Promise.reject(new Error())) as unknown as Resource;
    const { group, resource } = row;
    const target = { group, version: row.version, resource, namespace: "", name: "", subresource: "" };
    await deleteCollection({ context, resource: row, target }, {}, {}, systemWrite());
    await context.cache.consistent();
    return context.cache.resource(`/registry/${row.storagePrefix}/`).objects.size > 0;
  }

  #update(
    { metadata: { name, uid } }: CustomResourceDefinition,
    subresource: string,
    change: (definition: CustomResourceDefinition) => unknown,
  ): Promise<void> {
    const target = { ...customResourceDefinitions, namespace: "", name, subresource };
    return systemChange(this.#registry, customResourceDefinitions as unknown as Resource, target, uid, change);
  }
}

const deletionCompleted = {
  type: "Terminating",
  status: "False",
  reason: "InstanceDeletionCompleted",
  message: "removed all instances",
} as const;

const retryMs = 500;
