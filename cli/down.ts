import { sleep, systemClock } from "../base/clock.ts";
import { isRunning, type LabRef } from "./lab-ref.ts";
import { SupervisorClient } from "./supervisor-client.ts";

/** Stops a lab and returns when all of it is gone, the supervisor included: `up` may follow at once. */
export async function down(ref: LabRef): Promise<void> {
  if (!(await isRunning(ref))) {
    console.log(`lab ${ref.lab.name} is not running`);
    return;
  }
  await new SupervisorClient(ref.socket).stop();
  while (await isRunning(ref)) await sleep(systemClock, 5);
  console.log(`lab ${ref.lab.name} is down`);
}
