import { closeSync, fstatSync, openSync, readSync, watch } from "node:fs";
import { attempt } from "../../base/attempt.ts";

/**
 * What a real etcd says of its elections in its log (`--logger=zap`: one JSON object a line), as the events that a member of
 * ours tells over HTTP. Its time is the wall clock's, in milliseconds.
 */
export interface EtcdEvent {
  kind: "RoleChanged" | "LeaderFound" | "LeaderLost";
  term: number;
  to?: string;
  message: string;
  wallMs: number;
}

const roles: Record<string, string> = { "pre-candidate": "preCandidate" };

/** Undefined: it says nothing of the kind. */
export function eventOfLine(line: string): EtcdEvent | undefined {
  if (!/ (became|elected leader|lost leader|changed leader) /.test(line)) return undefined;
  const { ts = "", msg: message = "" } = attempt(() => JSON.parse(line) as { ts?: string; msg?: string }) ?? {};
  const wallMs = Date.parse(ts);
  const [, word, role, term] =
    /(became|elected leader|lost leader|changed leader)(?: (leader|follower|candidate|pre-candidate))?.* at term (\d+)/.exec(
      message,
    ) ?? [];
  if (word === undefined || Number.isNaN(wallMs)) return undefined;
  const kind = word === "became" ? "RoleChanged" : word === "lost leader" ? "LeaderLost" : "LeaderFound";
  return { kind, term: Number(term), message, wallMs, ...(role && { to: roles[role] ?? role }) };
}

/** Calls `onLine` for every whole line that is added to the file from now on; makes the file. */
export function followLines(path: string, signal: AbortSignal, onLine: (line: string) => void): void {
  const file = openSync(path, "a+", 0o600);
  let at = fstatSync(file).size;
  let rest = "";
  const chunk = Buffer.alloc(65_536);
  const watcher = watch(path, { persistent: false }, () => {
    for (let read = readSync(file, chunk, 0, chunk.length, at); read > 0; ) {
      at += read;
      const lines = (rest + chunk.toString("latin1", 0, read)).split("\n");
      rest = lines.pop()!;
      for (const line of lines) onLine(line);
      read = readSync(file, chunk, 0, chunk.length, at);
    }
  });
  signal.addEventListener("abort", () => {
    watcher.close();
    closeSync(file);
  });
}
