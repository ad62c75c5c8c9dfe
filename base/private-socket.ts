import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import type { Server } from "node:net";
import { dirname } from "node:path";

/**
 * Listens on a unix socket that only this user may open. A file that a killed process left at `path` is replaced. Throws
 * what `listen` throws.
 */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  rmSync(path, { force: true });
  const mask = process.umask(0o177); // the file is made within listen()
  server.listen(path);
  process.umask(mask);
  await once(server, "listening");
}
