import { expired, internalError, StatusError, timeout, tooManyRequests } from "../../apimachinery/status.ts";
import { Code, GrpcError } from "../../etcd-raft/client/client.ts";

export { tooLargeResourceVersion } from "../../apimachinery/status.ts";

/** What the store says, as a client of the API hears it. */
export function storageError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  if (!(error instanceof GrpcError)) return internalError(error);
  if (error.message.includes("required revision has been compacted")) return listExpired();
  if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded) {
    const { status } = timeout(`request did not complete within the allotted timeout: ${error.message}`);
    return new StatusError(status, { cause: error });
  }
  return internalError(error);
}

/** A list at a revision that the store has compacted. */
export const listExpired = (): StatusError => expired("The resourceVersion for the provided list is too old.");

/** A watch from a revision that the cache no longer covers; `oldest` is the first that it does. */
export const tooOldResourceVersion = (wanted: number, oldest: number): StatusError =>
  expired(`too old resource version: ${wanted} (${oldest})`);

/** Before the first list of the store is there. Clients come again after a second. */
export const initializing = (): StatusError => tooManyRequests("storage is (re)initializing", 1);

export const statusBytes = (error: StatusError): Buffer => Buffer.from(JSON.stringify(error.status));
