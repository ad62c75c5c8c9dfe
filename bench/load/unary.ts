import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { Init, Method } from "../../proto/wire.ts";
import type { ClientConnection } from "./connection.ts";
import { MessageSplitter } from "./messages.ts";

/** One call over a lean connection, for what is timed one by one. Rejects with GrpcError. */
export function unary<Q, R>(connection: ClientConnection, method: Method<Q, R>, request: Init<Q>): Promise<R> {
  return new Promise((resolve, reject) => {
    const splitter = new MessageSplitter();
    let response: R | undefined;
    connection.unary(method.path, method.request.encode(request), {
      onData: (payload) => splitter.push(payload, (message) => (response = method.response.decode(message))),
      onEnd: (status, message) => {
        if (status === 0 && response !== undefined) resolve(response);
        else reject(new GrpcError(status in Code ? (status as Code) : Code.Unavailable, message || "no message"));
      },
    });
    connection.flush();
  });
}
