import { expired, internalError, StatusError, timeout, tooManyRequests } from "../../apimachinery/status.ts";
import { Code, GrpcError } from "../../etcd-raft/client/client.ts";

/** What the store says, as a client of the API hears it. */
export function storageError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  if (!(error instanceof GrpcError)) return internalError(error);
  if (error.message.includes("required revision has been compacted")) return listExpired();
  if (isUncertain(error)) {
    const { status } = timeout(`request did not complete within the allotted timeout: ${error.message}`);
    return new StatusError(status, { cause: error });
  }
  return internalError(error);
}

/** Whether it happened or not is not known. */
export const isUncertain = (error: unknown): boolean =>
  error instanceof GrpcError && (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded);

/** A list at a revision that the store has compacted. */
const listExpired = (): StatusError => expired("The resourceVersion for the provided list is too old.");

/** A page of a list that began too long ago; `token` goes on at the newest state. */
export function expiredContinue(token: string): StatusError {
  const error = expired(
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without " +
      "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. " +
      "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or " +
      "deleted between the time the first chunk was returned and now may show up in the list.",
  );
  error.status.metadata.continue = token;
  return error;
}

/** A watch from a revision that the cache no longer covers; `oldest` is the first that it does. */
export const tooOldResourceVersion = (wanted: number, oldest: number): StatusError =>
  expired(`too old resource version: ${wanted} (${oldest})`);

/** Before the first list of the store is there. Clients come again after a second. */
export const initializing = (): StatusError => tooManyRequests("storage is (re)initializing", 1);

export const statusBytes = (error: StatusError): Buffer => Buffer.from(JSON.stringify(error.status));
