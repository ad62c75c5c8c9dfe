/**
 * `npm run generate`: makes proto/generated/ from the .proto files. The result is committed; `npm test` checks that it
 * is current (tools/generate/generate.test.ts).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { generateCodecs } from "./codec.ts";

mkdirSync("proto/generated", { recursive: true });
for (const [file, text] of generateCodecs()) writeFileSync(`proto/generated/${file}`, text);
