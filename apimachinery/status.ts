import { aggregate, errorBody, errorText, type FieldError } from "./field-error.ts";
import type { StatusDetails } from "./generated/meta-v1.ts";

/**
 * Every failure that a client may see: an Error that carries the wire's Status. Reasons, codes and texts are upstream's
 * (k8s.io/apimachinery/pkg/api/errors). `details.kind` names the resource, except for Invalid, where it is the Kind.
 */
export interface Status {
  kind: "Status";
  apiVersion: "v1";
  metadata: { continue?: string; resourceVersion?: string };
  status: "Failure" | "Success";
  message?: string;
  reason?: string;
  details?: StatusDetails;
  code: number;
}

/** What messages need of a resource; every `ResourceType` is one. */
export interface GroupResource {
  group: string;
  resource: string;
}

export class StatusError extends Error {
  override name = "StatusError";
  readonly status: Status;

  constructor(status: Status, options?: ErrorOptions) {
    super(status.message ?? status.reason ?? `status ${status.code}`, options);
    this.status = status;
  }

  get code(): number {
    return this.status.code;
  }

  get reason(): string {
    return this.status.reason ?? "";
  }
}

export function failure(code: number, reason: string, message: string, details?: StatusDetails): StatusError {
  return new StatusError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason,
    ...(details ? { details } : {}),
    code,
  });
}

/** `pods`, `deployments.apps` */
export const qualified = ({ group, resource }: GroupResource): string => (group ? `${resource}.${group}` : resource);

const detailsOf = ({ group, resource }: GroupResource, name = ""): StatusDetails => ({
  ...(name ? { name } : {}),
  ...(group ? { group } : {}),
  kind: resource,
});

const quote = (text: string) => JSON.stringify(text);

export const notFound = (resource: GroupResource, name: string): StatusError =>
  failure(404, "NotFound", `${qualified(resource)} ${quote(name)} not found`, detailsOf(resource, name));

/** A path that nothing serves. */
export const pathNotFound = (): StatusError =>
  failure(404, "NotFound", "the server could not find the requested resource", {});

export const alreadyExists = (resource: GroupResource, name: string): StatusError =>
  failure(409, "AlreadyExists", `${qualified(resource)} ${quote(name)} already exists`, detailsOf(resource, name));

/** After every generated name was taken: the client may try again. */
export function generateNameConflict(resource: GroupResource, name: string, retryAfterSeconds: number): StatusError {
  const text = `${qualified(resource)} ${quote(name)} already exists, the server was not able to generate a unique name for the object`;
  return failure(409, "AlreadyExists", text, { ...detailsOf(resource, name), retryAfterSeconds });
}

export const staleMessage =
  "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(resource: GroupResource, name: string, message = staleMessage): StatusError {
  const text = `Operation cannot be fulfilled on ${qualified(resource)} ${quote(name)}: ${message}`;
  return failure(409, "Conflict", text, detailsOf(resource, name));
}

export function invalid(kind: { group: string; kind: string }, name: string, errors: FieldError[]): StatusError {
  const title = `${kind.group ? `${kind.kind}.${kind.group}` : kind.kind} ${quote(name)} is invalid`;
  const message = errors.length ? `${title}: ${aggregate(errors.map(errorText))}` : title;
  return failure(422, "Invalid", message, {
    ...(name ? { name } : {}),
    ...(kind.group ? { group: kind.group } : {}),
    kind: kind.kind,
    causes: errors.map((e) => ({ reason: e.type, message: errorBody(e), field: e.field })),
  });
}

/** A patch that does not fit: upstream tells no more than this. */
export const rejected = (cause?: unknown): StatusError => {
  const message = "the server rejected our request due to an error in our request";
  return new StatusError(failure(422, "Invalid", message, {}).status, { cause });
};

export const badRequest = (message: string): StatusError => failure(400, "BadRequest", message);

export const unauthorized = (message = "Unauthorized"): StatusError => failure(401, "Unauthorized", message);

export function forbidden(resource: GroupResource, name: string, message: string): StatusError {
  const title = qualified(resource);
  const text = !title ? `forbidden: ${message}` : `${title}${name ? ` ${quote(name)}` : ""} is forbidden: ${message}`;
  return failure(403, "Forbidden", text, detailsOf(resource, name));
}

export function methodNotSupported(resource: GroupResource, verb: string): StatusError {
  const text = `${verb} is not supported on resources of kind ${quote(qualified(resource))}`;
  return failure(405, "MethodNotAllowed", text, detailsOf(resource));
}

export const notAcceptable = (accepted: string[]): StatusError =>
  failure(406, "NotAcceptable", `only the following media types are accepted: ${accepted.join(", ")}`);

export function unsupportedMediaType(accepted: string[]): StatusError {
  const text = "the body of the request was in an unknown format - accepted media types include";
  return failure(415, "UnsupportedMediaType", `${text}: ${accepted.join(", ")}`);
}

export const requestEntityTooLarge = (message: string): StatusError =>
  failure(413, "RequestEntityTooLarge", `Request entity too large: ${message}`);

export const expired = (message: string): StatusError => failure(410, "Expired", message);

export const timeout = (message: string, retryAfterSeconds = 0): StatusError =>
  failure(504, "Timeout", `Timeout: ${message}`, retryAfterSeconds ? { retryAfterSeconds } : {});

/** Reflectors look for the cause. */
export function tooLargeResourceVersion(wanted: number | string, current: number | string): StatusError {
  const error = timeout(`Too large resource version: ${wanted}, current: ${current}`, 1);
  error.status.details!.causes = [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }];
  return error;
}

export const serviceUnavailable = (message: string, cause?: unknown): StatusError =>
  new StatusError(failure(503, "ServiceUnavailable", message).status, { cause });

export const tooManyRequests = (message: string, retryAfterSeconds = 0): StatusError =>
  failure(429, "TooManyRequests", message, retryAfterSeconds ? { retryAfterSeconds } : undefined);

export const internalError = (cause: unknown): StatusError => {
  const message = cause instanceof Error ? cause.message : String(cause);
  const { status } = failure(500, "InternalError", `Internal error occurred: ${message}`, { causes: [{ message }] });
  return new StatusError(status, { cause });
};

/** The Status of anything thrown: foreign errors are internal ones. */
export const statusOf = (error: unknown): Status =>
  error instanceof StatusError ? error.status : internalError(error).status;

const hasReason =
  (...reasons: string[]) =>
  (error: unknown): error is StatusError =>
    error instanceof StatusError && reasons.includes(error.reason);

export const isNotFound = hasReason("NotFound");
export const isAlreadyExists = hasReason("AlreadyExists");
export const isConflict = hasReason("Conflict");
export const isForbidden = hasReason("Forbidden");
/** The resourceVersion or continue token is gone: list again. */
export const isExpired = hasReason("Expired", "Gone");
export const isServiceUnavailable = hasReason("ServiceUnavailable");

/** For a promise's `catch`: what was expected is nothing, all else is thrown on. */
export const ignoring =
  (...expected: readonly ((error: unknown) => boolean)[]) =>
  (error: unknown): undefined => {
    if (!expected.some((is) => is(error))) throw error;
  };
