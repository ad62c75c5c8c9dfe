import type {
  ConversionReview,
  CustomResourceDefinition,
  WebhookClientConfig,
} from "../../api/generated/apiextensions-v1.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { internalError } from "../../apimachinery/status.ts";

/** Asks a conversion webhook; throws when it cannot be reached or does not answer with JSON. */
export type Converter = (client: WebhookClientConfig, review: ConversionReview) => Promise<unknown>;

/**
 * Objects of any versions of a definition in version `name`. Without a webhook only apiVersion changes; with one, those
 * that are of another version go to it in one ConversionReview, and come back in the same order
 * (apiextensions-apiserver, pkg/apiserver/conversion). Metadata but labels and annotations stays ours.
 */
export async function convertedTo(
  objects: KubernetesObject[],
  definition: CustomResourceDefinition,
  name: string,
  convert: Converter,
): Promise<KubernetesObject[]> {
  const apiVersion = `${definition.spec.group}/${name}`;
  const others = objects.filter((object) => object.apiVersion !== apiVersion);
  if (others.length === 0) return objects;
  const { strategy, webhook } = definition.spec.conversion ?? { strategy: "None" };
  if (strategy !== "Webhook") return objects.map((object) => ({ ...object, apiVersion }));
  const version = webhook!.conversionReviewVersions.find((v) => v === "v1" || v === "v1beta1") ?? "v1";
  const uid = `${definition.metadata.uid}`;
  const review = {
    kind: "ConversionReview",
    apiVersion: `apiextensions.k8s.io/${version}`,
    request: { uid, desiredAPIVersion: apiVersion, objects: others as unknown as Record<string, unknown>[] },
  };
  const failed = (detail: string) =>
    internalError(
      new Error(`conversion webhook for ${others[0]!.apiVersion}, Kind=${others[0]!.kind} failed: ${detail}`),
    );
  const answer = (await convert(webhook!.clientConfig!, review).catch((error: unknown) => {
    throw failed((error as Error).message);
  })) as ConversionReview | null;
  const { response } = answer ?? {};
  if (response === undefined || response === null) throw failed("missing response");
  if (response.uid !== uid)
    throw failed(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid)}`);
  if (response.result?.status !== "Success")
    throw failed(
      response.result?.message ?? `invalid response status: ${JSON.stringify(response.result?.status ?? "")}`,
    );
  const made = (response.convertedObjects ?? []) as unknown as KubernetesObject[];
  if (made.length !== others.length) throw failed(`expected ${others.length} converted objects, got ${made.length}`);
  const converted = new Map(others.map((object, i) => [object, checked(object, made[i]!, apiVersion, failed)]));
  return objects.map((object) => converted.get(object) ?? object);
}

function checked(
  before: KubernetesObject,
  after: KubernetesObject,
  apiVersion: string,
  failed: (detail: string) => Error,
): KubernetesObject {
  if (after?.apiVersion !== apiVersion || after.kind !== before.kind)
    throw failed(
      `expected converted object of ${apiVersion}, Kind=${before.kind}, got ${after?.apiVersion}, Kind=${after?.kind}`,
    );
  for (const key of ["name", "namespace", "uid"] as const)
    if (after.metadata?.[key] !== before.metadata[key]) throw failed(`must not change metadata.${key}`);
  const { labels, annotations } = after.metadata;
  const { labels: _, annotations: __, ...kept } = before.metadata;
  return { ...after, metadata: { ...kept, ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) } };
}

/** What a conversion may take. */
export const conversionSeconds = 30;
