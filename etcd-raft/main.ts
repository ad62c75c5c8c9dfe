import { setFlagsFromString } from "node:v8";
import { systemClock } from "../base/clock.ts";
import { createLogger, type Logger } from "../base/logger.ts";
import { aborted, runProcess, StartError } from "../base/process.ts";
import { systemRand } from "../base/rand.ts";
import { isPasswordWorker } from "./auth/password.ts";
import { type Config, configFileOf, flagSpec, parseConfig } from "./server/config.ts";
import { restore, snapshotStatus } from "./server/restore.ts";
import { startMember } from "./server/start.ts";
import { etcdVersion } from "./server/version.ts";
import { nodeDisk } from "./wal/disk.ts";

/** Small buffers are cut from pieces of this size; Node's 8 KiB would be a piece every two dozen writes. */
const poolBytes = 64 * 1024;
/**
 * How far the old part of the heap may grow until the next full collection. Left alone, V8 begins one as soon as the present
 * limit is closer than the young part is large, which with the few megabytes that live here is after every other collection
 * of the young one (measured under load: 24 full collections where 8 do).
 */
const heapGrowingPercent = 300;

/**
 * The process `etcd-raft`: one member, with etcd's flags (`server/config.ts`). `etcd-raft restore FILE` and
 * `etcd-raft snapshot status FILE` work on backups (`server/restore.ts`).
 */
async function main(argv: string[]): Promise<void> {
  if (argv.some((arg) => /^--?version$/.test(arg))) {
    process.stdout.write(`etcd Version: ${etcdVersion}\nkubelab etcd-raft on Node.js ${process.version}\n`);
    return;
  }
  Buffer.poolSize = poolBytes;
  setFlagsFromString(`--heap-growing-percent=${heapGrowingPercent}`);
  // As etcd's. A supervisor of ours reads 2 as "do not start it again".
  const exits = { refused: process.send === undefined ? 1 : 2 };
  let config: Config;
  let log: Logger;
  try {
    const command = commandOf(argv);
    if (command) return void process.stdout.write(`${await command()}\n`);
    config = await readConfig(argv, process.env);
    log = openLog(config);
  } catch (error) {
    return runProcess(createLogger("etcd-raft"), () => Promise.reject(error), exits);
  }
  const member = async (signal: AbortSignal) => {
    if (config.unrecognized.length > 0) log.warn({ names: config.unrecognized }, "Unrecognized environment variables");
    const running = await startMember(config, {
      clock: systemClock,
      rand: systemRand,
      disk: nodeDisk,
      log,
      onFatal: () => process.exit(1),
    });
    log.info({ clientURLs: running.clientURLs, dataDir: config.dataDir }, "Serving");
    await Promise.race([aborted(signal), running.removed]);
    await running.close();
  };
  runProcess(log, member, exits);
}

function openLog(config: Config): Logger {
  try {
    return createLogger("etcd-raft", config.log);
  } catch (error) {
    throw new StartError(`--log-outputs: ${(error as Error).message}`, { cause: error });
  }
}

async function readConfig(argv: string[], env: NodeJS.ProcessEnv): Promise<Config> {
  const path = configFileOf(argv, env);
  if (path === undefined) return parseConfig(argv, env);
  const { flagsFromFile } = await import("./server/config-file.ts"); // YAML is loaded by who wants it
  return parseConfig(flagsFromFile(path, flagSpec));
}

/** Undefined: run a member. */
function commandOf([first, second, ...rest]: string[]): (() => Promise<string>) | undefined {
  const surroundings = { disk: nodeDisk, clock: systemClock };
  if (first === "restore") return () => restore(second === undefined ? [] : [second, ...rest], surroundings);
  if (first === "snapshot" && second === "restore") return () => restore(rest, surroundings);
  if (first === "snapshot" && second === "status") return () => snapshotStatus(rest);
  return undefined;
}

if (!isPasswordWorker) void main(process.argv.slice(2));
