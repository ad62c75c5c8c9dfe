import { requestEntityTooLarge } from "../apimachinery/status.ts";
import type { Attributes } from "./authz/authorizer.ts";

/**
 * A request as both fronts hand it to the chain: who wants to do what to which resource. Plain data; tests make them
 * without a socket.
 */
export interface ApiRequest {
  /** Whom it is handled as. */
  user: User;
  caller?: Caller;
  verb: Verb;
  target: Target;
  options: Options;
  body?: Body | undefined;
  /** Aborted when the caller is gone. */
  signal: AbortSignal;
  /** Texts for `Warning` headers. */
  warnings: string[];
  /** Names the field manager when `fieldManager` does not. */
  userAgent?: string | undefined;
  /** What the audit log shall say besides. */
  auditAnnotations?: Map<string, string>;
  /** Told the uids of the FlowSchema and the priority level, once they are known. */
  classified?: (flowSchema: string, priorityLevel: string) => void;
  /** Throws 403 when the user may not do something else to the same target: an apply may create. Set by the chain. */
  check?: (verb: Verb) => Promise<void>;
}

/** Who sends a request, and from where. */
export interface Caller {
  user: User;
  /** What he must be allowed when he acts as someone else. */
  needs: readonly Attributes[];
  /** Over gRPC there is none. */
  uri?: string;
  sourceIPs: readonly string[];
  auditID: string | undefined;
}

export interface User {
  name: string;
  groups: readonly string[];
  uid?: string | undefined;
  extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

/** What a path names. Unset parts are "". */
export interface Target {
  group: string;
  version: string;
  namespace: string;
  resource: string;
  name: string;
  subresource: string;
}

/** Query parameters, and their counterparts in gRPC messages. Unknown ones are ignored. */
export interface Options {
  labelSelector?: string;
  fieldSelector?: string;
  resourceVersion?: string;
  resourceVersionMatch?: string;
  limit?: string;
  continue?: string;
  timeoutSeconds?: string;
  allowWatchBookmarks?: string;
  sendInitialEvents?: string;
  dryRun?: string[];
  fieldManager?: string;
  fieldValidation?: string;
  force?: string;
  gracePeriodSeconds?: string;
  propagationPolicy?: string;
  orphanDependents?: string;
  /** pods/log and other connecting subresources take the query as it is. */
  query?: URLSearchParams;
  /** Of a request that is passed on: its path to `/proxy`, and what follows that with the query, both as they were sent. */
  proxied?: { prefix: string; rest: string };
}

export interface Body {
  contentType: string;
  bytes: Buffer;
}

/** Upstream's limit for what a client may send. */
export const maxBodyBytes = 3 * 1024 * 1024;
export const bodyTooLarge = () => requestEntityTooLarge(`limit is ${maxBodyBytes}`);

/** `/apis/apps/v1/namespaces/default/deployments/web/status` */
export function pathOf({ group, version, resource, namespace, name, subresource }: Target): string {
  const scope = namespace && resource !== "namespaces" ? ["namespaces", namespace] : [];
  const parts = [...(group ? ["apis", group] : ["api"]), version, ...scope, resource, name, subresource];
  return ["", ...parts.filter((part) => part !== "")].join("/");
}
