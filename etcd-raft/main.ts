import { systemClock } from "../base/clock.ts";
import { createLogger, type LogLevel } from "../base/logger.ts";
import { aborted, runProcess } from "../base/process.ts";
import { systemRand } from "../base/rand.ts";
import { isPasswordWorker } from "./auth/password.ts";
import { parseConfig } from "./server/config.ts";
import { restore, snapshotStatus } from "./server/restore.ts";
import { startMember } from "./server/start.ts";
import { etcdVersion } from "./server/version.ts";
import { nodeDisk } from "./wal/disk.ts";

/**
 * The process `etcd-raft`: one member, with etcd's flags (`server/config.ts`). `etcd-raft restore FILE` and
 * `etcd-raft snapshot status FILE` work on backups (`server/restore.ts`).
 */
function main(argv: string[]): void {
  if (argv.includes("--version")) {
    process.stdout.write(`etcd Version: ${etcdVersion}\nkubelab etcd-raft on Node.js ${process.version}\n`);
    process.exit(0);
  }
  const levelFlag = argv.find((arg) => arg.startsWith("--log-level=")) ?? "";
  const level = /^--log-level=(\w+)$/.exec(levelFlag)?.[1] ?? process.env["ETCD_LOG_LEVEL"];
  const log = createLogger("etcd-raft", level as LogLevel | undefined);
  Buffer.poolSize = poolBytes;
  runProcess(log, async (signal) => {
    const command = commandOf(argv);
    if (command) return void process.stdout.write(`${await command()}\n`);
    const config = parseConfig(argv, process.env);
    if (config.unrecognized.length > 0) log.warn({ names: config.unrecognized }, "Unrecognized environment variables");
    const running = await startMember(config, {
      clock: systemClock,
      rand: systemRand,
      disk: nodeDisk,
      log,
      onFatal: () => process.exit(1),
    });
    log.info({ clientURLs: running.clientURLs, dataDir: config.dataDir }, "Serving");
    await aborted(signal);
    await running.close();
  });
}

/** Undefined: run a member. */
function commandOf([first, second, ...rest]: string[]): (() => Promise<string>) | undefined {
  const surroundings = { disk: nodeDisk, clock: systemClock };
  if (first === "restore") return () => restore(second === undefined ? [] : [second, ...rest], surroundings);
  if (first === "snapshot" && second === "restore") return () => restore(rest, surroundings);
  if (first === "snapshot" && second === "status") return () => snapshotStatus(rest);
  return undefined;
}

/** Small buffers are cut from pieces of this size; Node's 8 KiB would be a piece every two dozen writes. */
const poolBytes = 64 * 1024;

if (!isPasswordWorker) main(process.argv.slice(2));
