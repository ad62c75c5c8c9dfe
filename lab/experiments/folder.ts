import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { escapeXml } from "../../bench/svg.ts";
import type { HistoryLine } from "../checkers/history.ts";
import type { Call, MetricSample, ObjectEvent, RunEvent, RunFile } from "./run.ts";

/** Everything that a run leaves; `run.ts` says which file holds what. */
export interface Run {
  file: RunFile;
  history: readonly HistoryLine[];
  calls: readonly Call[];
  events: readonly RunEvent[];
  objects: readonly ObjectEvent[];
  metrics: readonly MetricSample[];
}

export function writeRun(dir: string, { file, ...lines }: Run): void {
  mkdirSync(dir, { recursive: true });
  for (const [name, all] of Object.entries(lines)) writeFileSync(join(dir, `${name}.jsonl`), all.map(asLine).join(""));
  writeFileSync(join(dir, "run.json"), `${JSON.stringify(file, null, 2)}\n`);
}

const asLine = (line: object): string => `${JSON.stringify(line)}\n`;

/** One suite an experiment, one case an expectation or checker of each repetition. */
export function junit(runs: readonly RunFile[]): string {
  const cases = runs.flatMap((run) => {
    const name = (text: string) => `${text}${runs.length > 1 ? `, repetition ${run.repetition}` : ""}`;
    return [
      ...run.expectations.map(({ name: what, limit, value, met }) => {
        return { name: name(`${what} ${limit}`), failure: met ? undefined : `is ${value ?? "not known"}` };
      }),
      { name: name("checkers"), failure: run.violations.map(({ message }) => message).join("\n") || undefined },
    ].map((one) => ({ ...one, seconds: run.durationMs / 1000 }));
  });
  const failures = cases.filter(({ failure }) => failure !== undefined).length;
  const body = cases.map(({ name, failure, seconds }) => {
    const head = `    <testcase classname="${escapeXml(runs[0]!.experiment)}" name="${escapeXml(name)}" time="${seconds}"`;
    if (failure === undefined) return `${head}/>`;
    return `${head}>\n      <failure message="${escapeXml(failure.split("\n")[0]!)}">${escapeXml(failure)}</failure>\n    </testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites tests="${cases.length}" failures="${failures}">`,
    `  <testsuite name="${escapeXml(runs[0]!.experiment)}" tests="${cases.length}" failures="${failures}" timestamp="${runs[0]!.startedAt}">`,
    ...body,
    "  </testsuite>",
    "</testsuites>",
    "",
  ].join("\n");
}
