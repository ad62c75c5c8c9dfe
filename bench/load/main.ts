/** The load process: one job from its parent, one result back (job.ts). `start.ts` runs it. */
import { once } from "node:events";
import { systemClock } from "../../base/clock.ts";
import { createLogger } from "../../base/logger.ts";
import { runProcess } from "../../base/process.ts";
import { generate } from "./generator.ts";
import type { LoadJob } from "./job.ts";

runProcess(createLogger("load"), async () => {
  const [job] = (await once(process, "message")) as [LoadJob];
  const result = await generate(job, systemClock);
  await new Promise((sent) => process.send!(result, sent));
});
