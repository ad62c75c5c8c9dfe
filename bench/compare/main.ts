/** `npm run bench -- compare A.json B.json`: what differs between two runs by more than noise; README.md says how. */
import { createLogger } from "../../base/logger.ts";
import { runProcess, StartError } from "../../base/process.ts";
import { readResults } from "../results.ts";
import { compareResults } from "./compare.ts";

runProcess(createLogger("bench"), async () => {
  const [a, b, ...rest] = process.argv.slice(2);
  if (a === undefined || b === undefined || rest.length > 0) throw new StartError("usage: compare A.json B.json");
  console.log(compareResults(readResults(a), readResults(b)));
});
