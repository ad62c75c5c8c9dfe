import type { Readable } from "node:stream";
import { internalError, statusOf } from "../../apimachinery/status.ts";
import type { WatchStart } from "../answer.ts";
import { Frame } from "../watchcache/resource-cache.ts";
import type { WatchSink } from "../watchcache/watcher.ts";

/**
 * A watch of another server as one of ours: each of its lines is an event. Who reads slowly pauses the other side, so no
 * more than one event and the sockets' buffers are ever held.
 */
export function remoteWatch(answer: Readable, maxEventBytes: number): WatchStart {
  return {
    start(sink) {
      sink.onClose = () => void answer.destroy();
      void relay(answer, sink, maxEventBytes).finally(() => sink.end());
    },
  };
}

async function relay(answer: Readable, sink: WatchSink, maxEventBytes: number): Promise<void> {
  try {
    for await (const line of lines(answer, maxEventBytes)) {
      const { type, object } = JSON.parse(line.toString("utf8")) as { type: Frame["type"]; object: object };
      const frame = new Frame(type, { revision: 0, bytes: Buffer.from(JSON.stringify(object)) });
      if (!sink.send([frame])) await new Promise<void>((resolve) => (sink.onDrain = resolve));
    }
  } catch (error) {
    if (answer.destroyed && answer.errored === null) return; // the reader has gone
    const bytes = Buffer.from(JSON.stringify(statusOf(internalError(error as Error))));
    sink.send([new Frame("ERROR", { revision: 0, bytes })]);
  }
}

async function* lines(from: Readable, maxBytes: number): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  let length = 0;
  for await (const chunk of from as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      yield Buffer.concat([...rest, chunk.subarray(start, end)]);
      rest = [];
      length = 0;
      start = end + 1;
    }
    rest.push(chunk.subarray(start));
    length += chunk.length - start;
    if (length > maxBytes) throw new Error("the event is too large");
  }
}
