import { escapeXml } from "../../bench/svg.ts";
import { brief, outcome } from "../checkers/history.ts";
import type { Run } from "../experiments/folder.ts";
import type { Failover, Violation } from "../experiments/run.ts";
import {
  type Frame,
  latencyChart,
  latencyRange,
  type Scene,
  throughputChart,
  timeline,
  waterfall,
} from "./drawings.ts";
import { type Group, gapOf, groupsOf, summarize, timeText, wholeRun } from "./measures.ts";
import { badge, type Cell, page, section, table, tiles } from "./page.ts";
import { faultsOf, lanesOf } from "./picture.ts";

/** The whole of a run as one HTML file that needs nothing else. The same run gives the same text. */
export function renderReport(run: Run): string {
  const { file } = run;
  const groups = groupsOf(run);
  const frame = wholeRun(file);
  const scene = sceneOf(run, groups, frame);
  const { faults } = scene;
  return page(`${file.experiment}: ${file.verdict}`, [
    head(run, groups),
    violations(file.violations),
    section(
      "What happened",
      "Every member as a lane, its role as a colour; a fault outlines what it hit. Move the pointer: the line is the same moment everywhere.",
      `${timeline(scene, frame, "Timeline of the run")}${keys}`,
    ),
    section(
      "Latency and throughput",
      "On the same time axis. Latency counts from when a request was due, so what waited for a hanging server is in it.",
      groups.length === 0
        ? "<p>No client sent anything.</p>"
        : latencyChart(groups, faults, frame, latencyRange(groups)) + throughputChart(groups, faults, frame),
    ),
    section(
      "Failovers",
      "From the last acknowledgement, or a node's death, to the first after it.",
      failovers(file.failovers),
    ),
    closeUps(scene, file.failovers),
    section("By phase", "Of what was due in the phase, whenever it was answered.", phases(run, groups)),
    section("What was expected", "", expectations(run)),
    section("To repeat it", "", repeat(run)),
  ]);
}

/** What a timeline shows of a run. */
export function sceneOf(run: Run, groups: readonly Group[], frame: Frame): Scene {
  const { events, file } = run;
  const faults = faultsOf(events, frame.toMs);
  // What the runner did by itself (replacing a member) is no fault of the supervisor's, but a phase.
  for (const { name, fromMs, toMs } of file.phases)
    if (name !== "before" && name !== "after" && !faults.some((fault) => Math.abs(fault.fromMs - fromMs) < 200))
      faults.push({ name, fromMs, toMs, targets: name.split(/,? /).slice(1) });
  faults.sort((a, b) => a.fromMs - b.fromMs);
  const writes = groups.find(({ name }) => name === "store writes") ?? groups[0];
  const acks = (writes?.sent ?? []).flatMap(({ outcome, returned }) => (outcome === "ok" ? [returned!] : []));
  return {
    lanes: lanesOf(events, file.lab.members, faults, [frame.fromMs, frame.toMs]),
    faults,
    gaps: file.failovers.flatMap((failover) => gapOf(failover) ?? []),
    acks: acks.sort((a, b) => a - b),
    acksName: writes?.name === "store writes" ? "writes acked" : "answers",
  };
}

const keys = `<ul class="keys">${[
  ["leader", "leader"],
  ["follower", "follower"],
  ["candidate", "candidate, asks for votes"],
  ["down", "down"],
]
  .map(([name, words]) => `<li><i style="background:var(--${name})"></i>${words}</li>`)
  .join(
    "",
  )}<li>◆ elected</li><li><i style="border:1.5px solid var(--hit)"></i>hit by a fault</li><li><i style="background:var(--gap);opacity:.4"></i>nothing acknowledged</li></ul>`;

function head({ file }: Run, groups: readonly Group[]): string {
  const all = summarize(
    groups.flatMap(({ sent }) => sent),
    { fromMs: -Infinity, toMs: Infinity },
  );
  const longest = Math.max(...file.failovers.map(({ gapMs }) => gapMs));
  const unmet = file.expectations.filter(({ met }) => !met).length;
  const bad = file.violations.length;
  const words = { passed: "passed", failed: "failed", unknown: "no verdict" }[file.verdict];
  return `<header><p class="kicker">kubelab experiment · ${escapeXml(file.startedAt.slice(0, 19).replace("T", " "))} UTC · seed ${file.seed}${file.repetition > 1 ? ` · repetition ${file.repetition}` : ""}</p>
<h1>${escapeXml(file.experiment)} ${badge(file.verdict, words).html}</h1><p class="lead">${escapeXml(file.description)}</p>
${tiles([
  [file.failovers.length > 0 ? timeText(longest) : "-", "longest time without an answer"],
  [all.requests.toLocaleString("en-US"), "requests"],
  [all.unanswered.toLocaleString("en-US"), "not answered"],
  [timeText(all.p50), "median latency"],
  [timeText(all.p99), "99th percentile"],
  [`${bad}`, bad === 1 ? "violation" : "violations", bad > 0],
  [`${file.expectations.length - unmet} of ${file.expectations.length}`, "expectations met", unmet > 0],
])}</header>`;
}

const mostViolations = 20;

function violations(all: readonly Violation[]): string {
  const shown = all.slice(0, mostViolations).map(({ checker, message, operations }) => {
    const rows = operations.flatMap((line): Cell[][] =>
      line.type === "operation"
        ? [
            [
              line.client,
              line.member,
              timeText(line.called),
              line.returned === undefined ? "never" : timeText(line.returned),
              brief(line.request).slice(0, 200),
              outcome(line),
              line.error?.message ?? JSON.stringify(line.response ?? null).slice(0, 200),
            ],
          ]
        : [["", "member" in line ? line.member : "", "", "", JSON.stringify(line).slice(0, 300), "", ""]],
    );
    const told =
      rows.length === 0 ? "" : table(["client", "member", "called", "returned", "request", "effect", "answer"], rows);
    return `<div class="violation"><h3>${escapeXml(checker)}</h3><p>${escapeXml(message.slice(0, 2000))}</p>${told}</div>`;
  });
  const rest =
    all.length > mostViolations ? `<p class="note">and ${all.length - mostViolations} more in run.json</p>` : "";
  return section("What the checkers found", "", shown.join("") + rest);
}

function failovers(all: readonly Failover[]): string {
  if (all.length === 0) return "<p>No fault was caused.</p>";
  const rows = all.map(({ fault, atMs, gapMs, steps }) => [
    fault,
    timeText(atMs),
    timeText(gapMs),
    steps
      .map(({ name, atMs: at }, i) => (i === 0 ? name : `${name} +${timeText(at - steps[i - 1]!.atMs)}`))
      .join(" → ") || "not felt",
  ]);
  const picture = all.some(({ steps }) => steps.length > 1) ? waterfall(all) : "";
  const asTable = table(["fault", "at", "without an answer", "steps"], rows);
  return picture ? `${picture}<details><summary>as a table</summary>${asTable}</details>` : asTable;
}

/** The longest gaps once more, so near that single acknowledgements show. */
function closeUps(scene: Scene, all: readonly Failover[]): string {
  const felt = all.flatMap((failover) => ({ failover, gap: gapOf(failover) ?? { fromMs: 0, toMs: 0 } }));
  const longest = felt.filter(({ gap }) => gap.toMs > gap.fromMs).sort((a, b) => b.failover.gapMs - a.failover.gapMs);
  const drawn = longest.slice(0, 3).map(({ failover, gap }) => {
    const room = Math.max(20, (gap.toMs - gap.fromMs) * 0.35);
    const frame = { fromMs: Math.min(gap.fromMs, failover.atMs) - room, toMs: gap.toMs + room };
    return `<h3>${escapeXml(failover.fault)}: ${timeText(failover.gapMs)}</h3>${timeline(scene, frame, `Close-up of ${failover.fault}`)}`;
  });
  return section(
    "Close up",
    "Around the longest gaps: each line in the lowest lane is an acknowledgement.",
    drawn.join(""),
  );
}

function phases({ file }: Run, groups: readonly Group[]): string {
  const rows = file.phases.flatMap((phase) =>
    groups.map(({ name, sent }, i): Cell[] => {
      const { requests, unanswered, perSecond, p50, p90, p99, max } = summarize(sent, phase);
      const rate = Number.isNaN(perSecond) ? "-" : `${Math.round(perSecond).toLocaleString("en-US")} /s`;
      return [
        ...(i === 0 ? [phase.name, `${timeText(phase.fromMs)} to ${timeText(phase.toMs)}`] : ["", ""]),
        name,
        `${requests}`,
        `${unanswered}`,
        rate,
        ...[p50, p90, p99, max].map(timeText),
      ];
    }),
  );
  return table(["phase", "time", "requests", "sent", "not answered", "answers", "p50", "p90", "p99", "worst"], rows);
}

function expectations({ file }: Run): string {
  if (file.expectations.length === 0) return "<p>Nothing beyond what the checkers ask.</p>";
  return table(
    ["expectation", "limit", "came to", ""],
    file.expectations.map(({ name, limit, value, met }) => [
      name,
      `${limit}`,
      value === null ? "not known" : `${value}`,
      badge(met ? "met" : "failed", met ? "met" : "not met"),
    ]),
  );
}

function repeat({ file }: Run): string {
  const { versions, lab, machine, seed, experiment, clocks } = file;
  const error = Math.max(0, ...clocks.map(({ errorMs }) => errorMs));
  const machines = [...new Set(clocks.map((clock) => clock.machine))];
  const rows: [string, string][] = [
    ["seed", `${seed}`],
    ["versions", `kubelab ${versions.kubelab}, store ${versions.store}, Node.js ${versions.node}`],
    ["machine", machine],
    ["lab", `${lab.members.length} members, ${lab.nodes.length} nodes, mode ${lab.mode}, timings ${lab.preset}`],
    [
      "clocks",
      `events of ${machines.join(", ") || "no machine"} are placed within ${error < 0.01 ? "0.01" : error.toFixed(2)} ms (${clocks.length} readings)`,
    ],
    ...clocks
      .filter(({ offsetMs }) => offsetMs !== 0)
      .map((c): [string, string] => [
        `clock of ${c.machine}, ${c.when}`,
        `offset ${timeText(c.offsetMs)}, within ${timeText(c.errorMs)}`,
      ]),
  ];
  const command = `kubelab experiment run ${experiment}.yaml --seed ${seed}`;
  return `${table(["", ""], rows)}<p class="note">Save the following as ${escapeXml(experiment)}.yaml, then:</p><pre>${escapeXml(command)}</pre><pre>${escapeXml(file.source.trimEnd())}</pre>`;
}
