import type { Resource } from "../../api/resource.ts";
import { apiVersionOf } from "../../apimachinery/object.ts";
import { StatusError } from "../../apimachinery/status.ts";
import type { WatchStart } from "../answer.ts";
import { isTrue } from "../http/request-info.ts";
import type { Options } from "../request.ts";
import { statusBytes } from "../storage/errors.ts";
import { Frame } from "../watchcache/resource-cache.ts";
import { type Place, prefixOfResource } from "./context.ts";
import { parseInteger } from "./decode.ts";
import { checkListOptions, parseRevision, selection, wantsInitialEvents } from "./list.ts";

/**
 * The semantics of a watch's start (Kubernetes API concepts, "Resource versions"):
 *
 *   unset   what there is now as ADDED, then live
 *   0       the same of whatever the cache holds
 *   N       the events after N; a 410 Expired event when they are no longer known
 *
 * With sendInitialEvents the present objects are followed by a bookmark that says so (KEP-3157); told `false`, they are
 * left out.
 */
export async function watch({ context, resource, target }: Place, options: Options): Promise<WatchStart> {
  checkListOptions(options, true);
  const { cache, watchTimes, rand, minRequestTimeoutMs } = context;
  const { scope, selects, narrow } = selection(resource, target, options);
  const wanted = options.resourceVersion ?? "";
  const initial = wantsInitialEvents(options);
  const revision = wanted === "" ? 0 : parseRevision(wanted);
  if (wanted === "") await cache.consistent();
  else if (initial) await cache.atLeast(revision);
  const present = initial || (revision === 0 && options.sendInitialEvents === undefined);
  const bookmarks = isTrue(options.allowWatchBookmarks ?? "false");
  const timeoutMs = watchTimeoutMs(options.timeoutSeconds, () => (1 + rand.next()) * minRequestTimeoutMs);

  return {
    start(sink) {
      let watcher: ReturnType<typeof cache.watch>;
      try {
        const from = present ? "now" : revision || cache.revision;
        watcher = cache.watch(prefixOfResource(resource), { scope, selects, narrow, from, sink });
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        sink.send([new Frame("ERROR", { revision: 0, bytes: statusBytes(error) })]);
        sink.end();
        return;
      }
      if (initial && bookmarks) watcher.push(bookmark(resource, cache.revision, true));
      const tell = () => watcher.bookmark(bookmark(resource, cache.revision));
      watchTimes.add(watcher, timeoutMs, bookmarks ? tell : undefined);
    },
  };
}

function bookmark({ kind, group, version }: Resource, revision: number, initialEventsEnd = false): Frame {
  const apiVersion = apiVersionOf({ group, version });
  const annotations = initialEventsEnd ? { annotations: { "k8s.io/initial-events-end": "true" } } : {};
  const metadata = { resourceVersion: String(revision), creationTimestamp: null, ...annotations };
  return new Frame("BOOKMARK", { revision, bytes: Buffer.from(JSON.stringify({ kind, apiVersion, metadata })) });
}

/** Without a wish a random time, so that not all come back at once. */
function watchTimeoutMs(text: string | undefined, random: () => number): number {
  const seconds = parseInteger(text, "timeoutSeconds") ?? 0;
  return seconds > 0 ? Math.min(seconds, maxTimeoutSeconds) * 1000 : random();
}

const maxTimeoutSeconds = 24 * 3600;
