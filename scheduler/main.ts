import { runLeader } from "../client/component.ts";
import { Scheduler } from "./scheduler.ts";

runLeader("kube-scheduler", 10259, {}, (_flags, parts) => async (leading, onSynced) => {
  const scheduler = new Scheduler(parts);
  void scheduler.synced.then(onSynced);
  await scheduler.run(leading);
});
