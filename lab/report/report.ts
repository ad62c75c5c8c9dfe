import { escapeXml } from "../../bench/svg.ts";
import { brief, outcome } from "../checkers/history.ts";
import type { Run } from "../experiments/folder.ts";
import { summarize } from "../experiments/requests.ts";
import type { Failover, Violation } from "../experiments/run.ts";
import {
  type Frame,
  latencyChart,
  latencyRange,
  metricChart,
  type Scene,
  throughputChart,
  timeline,
  waterfall,
} from "./drawings.ts";
import { type Group, gapOf, groupsOf, percentiles, seriesOf, stepsOf, timeText, wholeRun } from "./measures.ts";
import { badge, type Cell, page, section, table, tiles } from "./page.ts";
import { faultsOf, lanesOf } from "./picture.ts";

/** The whole of a run as one HTML file that needs nothing else. The same run gives the same text. */
export function renderReport(run: Run): string {
  const { file } = run;
  const scene = sceneOf(run);
  const charts = latencyChart(scene, latencyRange(scene.groups)) + throughputChart(scene);
  const hint = "A fault outlines what it hit. Move the pointer: the line is the same moment everywhere.";
  const due = "Latency counts from when a request was due: what waited for a hanging server is in it.";
  const sampled = "Sampled once a second; a line breaks where a process did not answer.";
  return page(`${file.experiment}: ${file.verdict}`, [
    head(run, scene.groups),
    violations(file.violations),
    section("What happened", hint, timeline(scene, "Timeline of the run") + keys),
    section("Latency and throughput", due, scene.groups.length === 0 ? "<p>No client sent anything.</p>" : charts),
    section("What the processes used", sampled, used(run, scene)),
    section("Failovers", "From the last acknowledgement, or a node's death, on.", failovers(file.failovers)),
    closeUps(scene, file.failovers),
    section("By phase", "Of what was due in the phase, whenever it was answered.", phases(run, scene.groups)),
    section("What was expected", "", expectations(run)),
    section("To repeat it", "", repeat(run)),
  ]);
}

/** What a timeline shows of a run. */
export function sceneOf(run: Run, frame: Frame = wholeRun(run.file)): Scene {
  const groups = groupsOf(run);
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
    frame,
    groups,
    lanes: lanesOf(events, file.lab.members, faults, [frame.fromMs, frame.toMs]),
    faults,
    gaps: file.failovers.flatMap((failover) => gapOf(failover) ?? []),
    acks: acks.sort((a, b) => a - b),
    acksName: writes?.name === "store writes" ? "writes acked" : "answers",
  };
}

const metricsDrawn = [
  ["CPU", "cores", "process_cpu_seconds_total", 1],
  ["Memory", "MB", "process_resident_memory_bytes", 1e-6],
  ["Event loop, 99 % of turns late by less than", "ms", "nodejs_eventloop_lag_p99_seconds", 1000],
] as const;

function used({ metrics }: Run, scene: Scene): string {
  return metricsDrawn
    .map(([title, unit, name, scale]) => {
      const series = seriesOf(metrics, name, scale);
      return series.length > 0 ? `<h3>${title}</h3>${metricChart(scene, title, unit, series)}` : "";
    })
    .join("");
}

const keys = `<ul class="keys">
<li><i style="background:var(--leader)"></i>leader</li>
<li><i style="background:var(--follower)"></i>follower</li>
<li><i style="background:var(--candidate)"></i>candidate, asks for votes</li>
<li>◆ elected</li>
<li><i class="hit-key"></i>hit by a fault</li>
<li><i class="gap-key"></i>nothing acknowledged</li></ul>`;

function head({ file }: Run, groups: readonly Group[]): string {
  const all = summarize(groups.flatMap(({ sent }) => sent));
  const lengths = file.failovers.map(({ gapMs, steps }) => {
    return Math.max(gapMs, (steps.at(-1)?.atMs ?? 0) - (steps[0]?.atMs ?? 0));
  });
  const unmet = file.expectations.filter(({ met }) => !met).length;
  const bad = file.violations.length;
  const words = { passed: "passed", failed: "failed", unknown: "no verdict" }[file.verdict];
  return `<header><p class="kicker">kubelab experiment · ${escapeXml(file.startedAt.slice(0, 19).replace("T", " "))} UTC · seed ${escapeXml(`${file.seed}`)}${file.repetition > 1 ? ` · repetition ${file.repetition}` : ""}</p>
<h1>${escapeXml(file.experiment)} ${badge(file.verdict, words).html}</h1><p class="lead">${escapeXml(file.description)}</p>
${tiles([
  [lengths.length > 0 ? timeText(Math.max(...lengths)) : "-", "longest failover"],
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
    const rows = operations.map((line): Cell[] => {
      if (line.type !== "operation") return ["", "", "", "", JSON.stringify(line).slice(0, 300), "", ""];
      const { client, member, called, returned = Number.NaN, request, response, error } = line;
      const answer = error?.message ?? JSON.stringify(response ?? null).slice(0, 200);
      const times = [called, returned].map(timeText);
      return [client, member, ...times, brief(request).slice(0, 200), outcome(line), answer];
    });
    const told = table(["client", "member", "called", "returned", "request", "effect", "answer"], rows);
    const words = `<h3>${escapeXml(checker)}</h3><p>${escapeXml(message.slice(0, 2000))}</p>`;
    return `<div class="violation">${words}${rows.length > 0 ? told : ""}</div>`;
  });
  const more = all.length > mostViolations ? `The first ${mostViolations} of ${all.length}; run.json has all.` : "";
  return section("What the checkers found", more, shown.join(""));
}

function failovers(all: readonly Failover[]): string {
  if (all.length === 0) return "<p>No fault was caused.</p>";
  const rows = all.map(({ fault, mechanism = "", atMs, gapMs, steps }) => {
    const told = steps.map((step, i) => step.name + (i > 0 ? ` +${timeText(step.atMs - steps[i - 1]!.atMs)}` : ""));
    return [fault, mechanism, timeText(atMs), timeText(gapMs), told.join(" → ") || "not felt"];
  });
  const picture = all.some(({ steps }) => steps.length > 1) ? waterfall(all) : "";
  const asTable = table(["fault", "by", "at", "without an answer", "steps"], rows);
  const steps = [...stepsOf(all)].map(([name, values]) => {
    return [name, `${values.length}`, ...[...percentiles(values), Math.max(...values)].map(timeText)];
  });
  const spread = all.length > 1 ? table(["step", "failovers", "p50", "p90", "p99", "worst"], steps) : "";
  return `${picture ? `${picture}<details><summary>as a table</summary>${asTable}</details>` : asTable}${spread}`;
}

/** The longest gaps once more, so near that single acknowledgements show. */
function closeUps(scene: Scene, all: readonly Failover[]): string {
  const longest = all.filter((one) => gapOf(one) && one.gapMs > 0).sort((a, b) => b.gapMs - a.gapMs);
  const drawn = longest.slice(0, 3).map((failover) => {
    const gap = gapOf(failover)!;
    const room = Math.max(20, failover.gapMs * 0.35);
    const frame = { fromMs: Math.min(gap.fromMs, failover.atMs) - room, toMs: gap.toMs + room };
    const title = `${failover.fault}: ${timeText(failover.gapMs)}`;
    return `<h3>${escapeXml(title)}</h3>${timeline(scene, title, frame)}`;
  });
  return section("Close up", "Around the longest gaps: each line below is an acknowledgement.", drawn.join(""));
}

function phases({ file }: Run, groups: readonly Group[]): string {
  const rows = file.phases.flatMap((phase) =>
    groups.map(({ name, sent }, i): Cell[] => {
      const { requests, unanswered, perSecond, p50, p90, p99, max } = summarize(sent, phase);
      const rate = Number.isNaN(perSecond) ? "-" : `${Math.round(perSecond).toLocaleString("en-US")} /s`;
      const span = i === 0 ? [phase.name, `${timeText(phase.fromMs)} to ${timeText(phase.toMs)}`] : ["", ""];
      return [...span, name, `${requests}`, `${unanswered}`, rate, ...[p50, p90, p99, max].map(timeText)];
    }),
  );
  return table(["phase", "time", "requests", "sent", "not answered", "answers", "p50", "p90", "p99", "worst"], rows);
}

function expectations({ file }: Run): string {
  if (file.expectations.length === 0) return "<p>Nothing beyond what the checkers ask.</p>";
  const rows = file.expectations.map(({ name, limit, value, met }): Cell[] => {
    return [name, `${limit}`, `${value ?? "not known"}`, badge(met ? "met" : "failed", met ? "met" : "not met")];
  });
  return table(["expectation", "limit", "came to", ""], rows);
}

function repeat({ file }: Run): string {
  const { versions, lab, machine, seed, experiment, clocks } = file;
  const offsets = clocks.map(({ machine, when, offsetMs, errorMs }) => {
    return `${machine} ${when}: offset ${timeText(offsetMs)} ± ${Math.max(0.01, errorMs).toFixed(2)} ms`;
  });
  const rows = [
    ["seed", `${seed}`],
    ["versions", `kubelab ${versions.kubelab}, store ${versions.store}, Node.js ${versions.node}`],
    ["machine", machine],
    ["lab", `${lab.members.length} members, ${lab.nodes.length} nodes, mode ${lab.mode}, timings ${lab.preset}`],
    ["clocks, as far as events may be misplaced", offsets.join("; ") || "not measured"],
  ];
  const command = `kubelab experiment run ${experiment}.yaml --seed ${seed}`;
  const how = `<p class="note">Save the following as ${escapeXml(experiment)}.yaml, then:</p><pre>${escapeXml(command)}</pre>`;
  return `${table(["", ""], rows)}${how}<pre>${escapeXml(file.source.trimEnd())}</pre>`;
}
