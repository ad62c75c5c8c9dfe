import type { BoundObjectReference, TokenRequest } from "../../api/generated/authentication-v1.ts";
import type { Pod } from "../../api/generated/core-v1.ts";
import { Nodes, Pods, Secrets, ServiceAccounts } from "../../api/generated/resources.ts";
import * as field from "../../apimachinery/field-error.ts";
import type { KubernetesObject, ResourceType } from "../../apimachinery/object.ts";
import { badRequest, conflict, invalid, notFound } from "../../apimachinery/status.ts";
import { formatTime } from "../../apimachinery/time.ts";
import type { Clock } from "../../base/clock.ts";
import type { Rand } from "../../base/rand.ts";
import type { Cluster } from "../admission/cluster.ts";
import type { Maker } from "../registry/context.ts";
import type { Bound, ServiceAccountTokens } from "./service-account-tokens.ts";

/** POST serviceaccounts/token: a token for the account, bound to what the request names. */
export function tokenRequestMaker(
  tokens: ServiceAccountTokens,
  { cluster, clock, rand }: { cluster: Cluster; clock: Clock; rand: Rand },
): Maker {
  return async (object, { target: { namespace, name } }) => {
    const request = object as TokenRequest;
    const { audiences = [], expirationSeconds = 3600, boundObjectRef } = request.spec ?? {};
    const errors = validateExpiration(expirationSeconds);
    if (errors.length > 0) throw invalid({ group: "authentication.k8s.io", kind: "TokenRequest" }, name, errors);
    const find = async <T extends KubernetesObject>(type: ResourceType<T>, what: string): Promise<T> => {
      const found = await cluster.live(type, { namespace, name: what });
      if (found === undefined) throw notFound(type, what);
      return found;
    };
    const account = await find(ServiceAccounts, name);
    const bound = boundObjectRef ? await bind(boundObjectRef) : {};
    const wanted = audiences.length > 0 ? audiences : tokens.audiences;
    // Clients that never read their token again keep working for a year: KEP-1205, "extended" tokens.
    const extended = expirationSeconds === warnOnlySeconds && wanted.every((one) => tokens.audiences.includes(one));
    const token = await tokens.sign(account.metadata, bound, {
      audiences: wanted,
      id: rand.uuid(),
      ...(extended ? { ttl: yearSeconds, warnAfter: expirationSeconds } : { ttl: expirationSeconds }),
    });
    request.spec = { ...request.spec, audiences: [...wanted], expirationSeconds };
    request.status = { token, expirationTimestamp: formatTime(clock.now() + 1000 * expirationSeconds) };
    request.metadata = { name, namespace, creationTimestamp: formatTime(clock.now()) };
    return request;

    async function bind({ apiVersion = "", kind = "", name: what = "", uid }: BoundObjectReference): Promise<Bound> {
      const same = (found: KubernetesObject) => {
        if (uid && uid !== found.metadata.uid)
          throw conflict(
            { group: "", resource: kind },
            what,
            `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
          );
        return { name: what, uid: found.metadata.uid };
      };
      switch (apiVersion === "v1" ? kind : "") {
        case "Pod": {
          const pod: Pod = await find(Pods, what);
          if ((pod.spec?.serviceAccountName ?? "") !== name)
            throw badRequest(
              `cannot bind token for serviceaccount ${JSON.stringify(name)} to pod running with different serviceaccount name.`,
            );
          const nodeName = pod.spec?.nodeName;
          const node = nodeName ? cluster.get(Nodes, { name: nodeName }) : undefined;
          return { pod: same(pod), ...(nodeName ? { node: { name: nodeName, uid: node?.metadata.uid } } : {}) };
        }
        case "Secret":
          return { secret: same(await find(Secrets, what)) };
        case "Node":
          return { node: same(await find(Nodes, what)) };
        default: {
          const [version, group = ""] = apiVersion.split("/").reverse();
          throw badRequest(`cannot bind token to object of type ${group}/${version}, Kind=${kind}`);
        }
      }
    }
  };
}

const warnOnlySeconds = 3607;
const yearSeconds = 365 * 86_400;

function validateExpiration(seconds: number): field.FieldError[] {
  const wrong = (detail: string) => [field.invalid("spec.expirationSeconds", seconds, detail)];
  if (seconds < 600) return wrong("may not specify a duration less than 10 minutes");
  return seconds > 2 ** 32 ? wrong("may not specify a duration larger than 2^32 seconds") : [];
}
