/**
 * `npm run generate`: makes every `generated/` folder from the .proto files. The result is committed; `npm test` checks
 * that it is current (tools/generate/generate.test.ts).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { generateAll } from "./all.ts";

for (const [path, text] of generateAll()) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
