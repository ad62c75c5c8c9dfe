import type { WebSocketConnection } from "../../net/websocket/connection.ts";
import type { Frame } from "../watchcache/resource-cache.ts";
import type { WatchSink } from "../watchcache/watcher.ts";
import type { HttpResponse } from "./server.ts";

export interface WatchForm {
  name: string;
  encode(frame: Frame): Buffer;
}

/**
 * A watch as an HTTP body, the frames of a turn in one write. `form` names the encoding, one `{"type":...,"object":...}` a
 * line or protobuf, and makes it; a frame that goes to many watchers is encoded once.
 */
export function httpSink(response: HttpResponse, form: WatchForm): WatchSink {
  const sink: WatchSink = {
    send(frames) {
      const chunks = frames.map((frame) => bytesOf(frame, form));
      response.write(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
      return response.writableLength < roomBytes;
    },
    end: () => void response.end(),
  };
  response.on("drain", () => sink.onDrain?.());
  response.on("close", () => sink.onClose?.());
  return sink;
}

/** One text message an event, of the same bytes. What the client says is not heard. */
export function webSocketSink(connection: WebSocketConnection, form: WatchForm): WatchSink {
  const { socket } = connection;
  const sink: WatchSink = {
    send(frames) {
      for (const frame of frames) connection.send(bytesOf(frame, form), "text");
      return socket.writableLength < roomBytes;
    },
    end: () => connection.close(),
  };
  socket.on("drain", () => sink.onDrain?.());
  void (async () => {
    for await (const _ of connection);
    sink.onClose?.();
  })();
  return sink;
}

const bytesOf = (frame: Frame, { name, encode }: WatchForm): Buffer => frame.form(name, encode);

/** What may wait in a connection before the watch holds back; then the frames wait, shared, in the watcher. */
const roomBytes = 1024 * 1024;
