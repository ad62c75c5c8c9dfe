import { badRequest } from "../../apimachinery/status.ts";
import { WebSocketConnection } from "../../net/websocket/connection.ts";
import { tokenProtocol } from "../authn/authenticator.ts";
import type { HttpRequest } from "./server.ts";

export const isWebSocket = ({ upgrade, headers }: HttpRequest): boolean =>
  upgrade !== undefined && String(headers["upgrade"]).toLowerCase() === "websocket";

/** A watch is for pages that say where they are from, as x/net/websocket has it; exec and its like ask nobody. */
export function hasOrigin({ headers: { origin } }: Pick<HttpRequest, "headers">): boolean {
  return typeof origin === "string" && (origin.startsWith("/") || URL.canParse(origin));
}

/** Without what browsers hide their token in. */
export function protocolsOf({ headers }: Pick<HttpRequest, "headers">): string[] {
  const offered = String(headers["sec-websocket-protocol"] ?? "").split(",");
  return offered.map((one) => one.trim()).filter((one) => one !== "" && !one.startsWith(tokenProtocol));
}

/** Answers the handshake. Throws 400, in the words of x/net/websocket. */
export function acceptWebSocket(request: HttpRequest, protocol: string | undefined): WebSocketConnection {
  const key = request.headers["sec-websocket-key"];
  if (request.headers["sec-websocket-version"] !== "13") throw badRequest("missing or bad WebSocket Version");
  if (typeof key !== "string" || request.method !== "GET") throw badRequest("mismatch challenge/response");
  const { socket, head } = request.upgrade!();
  return WebSocketConnection.accept(socket, head, key, protocol);
}
