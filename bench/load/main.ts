/** The load process: one job as JSON on stdin, its result as JSON on stdout (job.ts). `start.ts` runs it. */
import { text } from "node:stream/consumers";
import { systemClock } from "../../base/clock.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess } from "../../base/process.ts";
import { generate } from "./generator.ts";
import type { LoadJob } from "./job.ts";

runProcess(createLogger("load"), async () => {
  const result = await generate(JSON.parse(await text(process.stdin)) as LoadJob, systemClock);
  await new Promise<void>((resolve) => process.stdout.write(JSON.stringify(result), () => resolve()));
});
