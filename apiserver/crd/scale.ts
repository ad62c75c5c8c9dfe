import { scaleMetadata } from "../../api/apps/template-rules.ts";
import type { CustomResourceSubresourceScale } from "../../api/generated/apiextensions-v1.ts";
import type { ScaleAccess } from "../../api/resource.ts";
import { type FieldError, invalid } from "../../apimachinery/field-error.ts";
import { compileJsonPath } from "../../apimachinery/json-path.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { isObject, type JsonObject, set } from "../../apimachinery/schema/normalize.ts";
import { internalError } from "../../apimachinery/status.ts";

const valueAt = (object: unknown, path: string | undefined): unknown =>
  path ? compileJsonPath(path)(object)[0] : undefined;

/** The subresource `scale` by the paths that a definition names. */
export function scaleAccess(paths: CustomResourceSubresourceScale): ScaleAccess<KubernetesObject> {
  return {
    get(object) {
      const replicas = valueAt(object, paths.specReplicasPath);
      if (replicas === undefined)
        throw internalError(
          new Error(`the spec replicas field ${JSON.stringify(paths.specReplicasPath)} does not exist`),
        );
      const selector = valueAt(object, paths.labelSelectorPath);
      return {
        kind: "Scale",
        apiVersion: "autoscaling/v1",
        metadata: scaleMetadata(object.metadata),
        spec: replicas ? { replicas: replicas as number } : {},
        status: {
          replicas: (valueAt(object, paths.statusReplicasPath) as number | undefined) ?? 0,
          ...(selector ? { selector: String(selector) } : {}),
        },
      };
    },
    set(object, replicas) {
      const names = paths.specReplicasPath.slice(1).split(".");
      let node = object as unknown as JsonObject;
      for (const name of names.slice(0, -1)) {
        if (!isObject(node[name])) set(node, name, {});
        node = node[name] as JsonObject;
      }
      set(node, names.at(-1)!, replicas);
    },
  };
}

export function validateScaleOf(paths: CustomResourceSubresourceScale, object: KubernetesObject): FieldError[] {
  return [paths.specReplicasPath, paths.statusReplicasPath].flatMap((path) => {
    const value = valueAt(object, path);
    if (value === undefined || value === null) return [];
    if (typeof value !== "number" || !Number.isInteger(value)) return [invalid(path, value, "should be an integer")];
    if (value < 0) return [invalid(path, value, "should be a non-negative integer")];
    return value > maxInt32 ? [invalid(path, value, `should be less than or equal to ${maxInt32}`)] : [];
  });
}

const maxInt32 = 2 ** 31 - 1;
