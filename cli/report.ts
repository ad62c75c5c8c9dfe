import type { LabStatus } from "../deploy/supervisor/status.ts";
import { type LabOptions, nameFlag } from "./lab-ref.ts";
import { formatTimeline, type TimelineRow } from "./timeline.ts";

export interface ReportInput {
  status: LabStatus;
  rows: TimelineRow[];
  /** Where the demo serves, if it was asked for. */
  demo: string | undefined;
  options: LabOptions;
}

/** What `up` prints when the lab is up: what started and when, where things are, and what to try next. */
export function report({ status, rows, demo, options }: ReportInput): string {
  const { members, apiservers, nodes } = status;
  const flag = nameFlag(options);
  const parts = [count(members.length, "member"), count(apiservers.length, "apiserver"), count(nodes.length, "node")];
  const facts: [string, string][] = [
    ["mode", `${status.mode}: ${status.modeReason}`],
    ["API", apiservers.map(({ url }) => url).join(", ")],
    ["kubeconfig", status.kubeconfig],
  ];
  if (demo) facts.unshift(["demo", demo]);
  return [
    `Lab ${status.name} is up: ${parts.join(", ")}.`,
    "",
    formatTimeline(rows),
    "",
    ...facts.map(([name, value]) => `${name.padEnd(10)}  ${value}`),
    "",
    "Try next:",
    ...nextSteps(status, demo, flag).map((line, i) => `  ${i + 1}. ${line}`),
  ].join("\n");
}

function nextSteps({ kubeconfig, store }: LabStatus, demo: string | undefined, flag: string): string[] {
  const kill = `npx kubelab kill leader${flag}   # kill -9 the raft leader; \`npx kubelab status${flag}\` shows who leads now`;
  return [
    ...(store && "endpoints" in store ? [] : [kill]),
    demo
      ? `for i in 1 2 3 4 5 6; do curl -s ${demo}; done   # every replica answers`
      : `npx kubelab status${flag}   # members, components and nodes`,
    `KUBECONFIG=${kubeconfig} kubectl get pods -o wide`,
  ];
}

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;
