import type { EtcdClient } from "../../etcd-raft/client/client.ts";
import { registryRoot } from "./storage.ts";

/**
 * How the watch cache asks the store how far its watch is. etcd before 3.4.31 and 3.5.13 may answer a progress request
 * before the events of that revision are sent (etcd issue 15220), and then a reader would miss what was written before
 * it asked. There a write of our own below the watched prefix is the news: it comes behind everything before it.
 *
 * Differs: upstream reads from such stores directly instead.
 */
export function progressRequester(etcd: Pick<EtcdClient, "status" | "requestProgress" | "put">): () => void {
  let reliable: boolean | undefined;
  let writing = false;
  const write = async () => {
    try {
      reliable ??= hasReliableProgress((await etcd.status({ timeoutMs })).version);
      if (reliable) etcd.requestProgress();
      else await etcd.put({ key: `${registryRoot}progress`, value: "" }, { timeoutMs });
    } catch {
      // asked again as long as somebody waits
    }
    writing = false;
  };
  return () => {
    if (reliable) return etcd.requestProgress();
    if (!writing) void write();
    writing = true;
  };
}

export function hasReliableProgress(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.+-]/).map(Number);
  if (major !== 3 || minor > 5) return major >= 3;
  return minor === 5 ? patch >= 13 : minor === 4 && patch >= 31;
}

const timeoutMs = 3000;
