import { percentText, verdict } from "../../bench/compare/compare.ts";
import { spread } from "../../bench/stats.ts";
import { escapeXml } from "../../bench/svg.ts";
import type { Run } from "../experiments/folder.ts";
import { summarize } from "../experiments/requests.ts";
import type { RunFile } from "../experiments/run.ts";
import { latencyChart, latencyRange, peakOf, type Scene, throughputChart, timeline } from "./drawings.ts";
import { groupsOf, percentiles, stepsOf, timeText, wholeRun } from "./measures.ts";
import { badge, type Cell, page, section, table } from "./page.ts";
import { sceneOf } from "./report.ts";

/** One repetition, told by its numbers. */
export interface Repetition {
  /** Where its own report is. */
  link: string;
  file: RunFile;
  measures: Measure[];
}

/** Of one run one value, or one for each failover. */
export interface Measure {
  name: string;
  better: "lower" | "higher";
  values: number[];
  text(value: number): string;
}

export function measuresOf(run: Run): Measure[] {
  const groups = groupsOf(run);
  const whole = wholeRun(run.file);
  const time = (name: string, values: number[]): Measure => ({ name, better: "lower", values, text: timeText });
  const count = (value: number) => Math.round(value).toLocaleString("en-US");
  const steps = [...stepsOf(run.file.failovers)].filter(([, values]) => values.length > 0);
  return [
    ...steps.map(([name, values]) => time(`failover: ${name}`, values)),
    ...groups.flatMap(({ name, sent }): Measure[] => {
      const { p50, p99, max, perSecond, unanswered } = summarize(sent, whole);
      const times = Object.entries({ p50, p99, worst: max }).filter(([, ms]) => !Number.isNaN(ms));
      return [
        ...times.map(([p, ms]) => time(`${name}: ${p}`, [ms])),
        { name: `${name}: answers a second`, better: "higher", values: [perSecond], text: count },
        { name: `${name}: not answered`, better: "lower", values: [unanswered], text: count },
      ];
    }),
  ];
}

function joined(all: readonly Repetition[]): Map<string, Measure> {
  const measures = new Map<string, Measure>();
  for (const one of all.flatMap((repetition) => repetition.measures)) {
    const known = measures.get(one.name);
    measures.set(one.name, { ...one, values: [...(known?.values ?? []), ...one.values] });
  }
  return measures;
}

function verdictOf(all: readonly Repetition[]): string {
  const passed = all.filter(({ file }) => file.verdict === "passed").length;
  const words = all.length > 1 ? `${passed} of ${all.length} passed` : all[0]!.file.verdict;
  return badge(passed === all.length ? "passed" : "failed", words).html;
}

/** All repetitions of an experiment: what they have in common, how far apart they are, and the worst of each. */
export function renderOverview(all: readonly Repetition[]): string {
  const { experiment, description } = all[0]!.file;
  const measures = [...joined(all).values()];
  const rows = measures.map(({ name, better, values, text }): Cell[] => {
    const { min, max } = spread(values);
    const worst = better === "lower" ? max : min;
    const where = all.find((one) => one.measures.some((m) => m.name === name && m.values.includes(worst)))!;
    const link = { html: `<a href="${escapeXml(where.link)}">${text(worst)}</a>` };
    const ranks = percentiles(better === "lower" ? values : values.map((value) => -value)).map(Math.abs);
    return [name, `${values.length}`, ...ranks.map(text), link];
  });
  const list = all.map(({ file, link, measures }): Cell[] => {
    const gaps = measures.find(({ name }) => name === "failover: without an answer")?.values ?? [];
    const unmet = file.expectations.filter(({ met }) => !met).map(({ name }) => name);
    const found = [...unmet, ...(file.violations.length > 0 ? [`${file.violations.length} violations`] : [])];
    const name = { html: `<a href="${escapeXml(link)}">repetition ${escapeXml(`${file.repetition}`)}</a>` };
    return [name, badge(file.verdict), gaps.length > 0 ? timeText(Math.max(...gaps)) : "-", found.join(", ")];
  });
  const towards = "Percentiles towards the worse end; the worst leads to the run that had it.";
  return page(`${experiment}: ${all.length} repetitions`, [
    `<header><p class="kicker">kubelab experiment · ${all.length} repetitions · seed ${escapeXml(`${all[0]!.file.seed}`)}</p><h1>${escapeXml(experiment)} ${verdictOf(all)}</h1><p class="lead">${escapeXml(description)}</p></header>`,
    section("Repetitions", "", table(["", "verdict", "longest without an answer", "not as it should be"], list)),
    section("Spread", towards, table(["", "values", "p50", "p90", "p99", "worst"], rows)),
  ]);
}

/** One side of a comparison: the repetitions of an experiment, and the one whose pictures are shown. */
export interface Side {
  name: string;
  repetitions: readonly Repetition[];
  shown: Run;
}

/** Two experiments on the same axes, and which of their differences are more than noise. */
export function renderComparison(a: Side, b: Side): string {
  const [before, after] = [joined(a.repetitions), joined(b.repetitions)];
  const rows = [...after.values()].flatMap((measure): Cell[][] => {
    const first = before.get(measure.name);
    if (first === undefined) return [];
    const { change, p, verdict: word } = verdict(first, measure);
    const cell = ({ values, text }: Measure) => {
      const { median, min, max } = spread(values);
      return values.length === 1 ? text(median) : `${text(median)} (${text(min)} to ${text(max)}, ${values.length})`;
    };
    const words =
      { "too few": "too few to tell", noise: "within noise" }[word as string] ?? `${word}, p = ${p.toFixed(3)}`;
    return [[measure.name, cell(first), cell(measure), percentText(change), badge(word.replace(" ", "-"), words)]];
  });
  const frames = [a, b].map(({ shown }) => wholeRun(shown.file));
  const frame = { fromMs: Math.min(...frames.map((f) => f.fromMs)), toMs: Math.max(...frames.map((f) => f.toMs)) };
  const sides = [a, b].map(({ name, shown }) => ({ name, scene: sceneOf(shown, frame) }));
  const range = latencyRange(sides.flatMap(({ scene }) => scene.groups));
  const peak = Math.max(...sides.map(({ scene }) => peakOf(scene)));
  const charts: ((scene: Scene) => string)[] = [
    (scene) => timeline(scene, "Timeline"),
    (scene) => latencyChart(scene, range),
    (scene) => throughputChart(scene, peak),
  ];
  const pictures = charts.map((draw) => {
    const pair = sides.map(({ name, scene }) => `<div><h3>${escapeXml(name)}</h3>${draw(scene)}</div>`);
    return `<div class="pair">${pair.join("")}</div>`;
  });
  const noise =
    "Medians; of several values their range, their number, and p, how likely noise does as much (Mann-Whitney U).";
  const titles = [a, b].map(({ name, repetitions }) => `${escapeXml(name)} ${verdictOf(repetitions)}`);
  const facts = ({ shown: { file } }: Side): string[] => [
    `${file.experiment}, seed ${file.seed}`,
    `store ${file.versions.store}, kubelab ${file.versions.kubelab}`,
    `${file.lab.members.length} members, ${file.lab.nodes.length} nodes, ${file.lab.mode}, ${file.lab.preset}`,
    file.machine,
  ];
  const told = facts(a).map((fact, i): Cell[] => [fact, facts(b)[i]!, fact === facts(b)[i] ? "" : "differs"]);
  return page(`${a.name} and ${b.name}`, [
    `<header><p class="kicker">kubelab experiment compare</p><h1>${titles.join('<span class="note">and</span>')}</h1></header>`,
    section("Differences", noise, table(["", a.name, b.name, "change", ""], rows)),
    section("Side by side", "On the same axes; of several repetitions the first.", pictures.join("")),
    section("What they were", "", table([a.name, b.name, ""], told)),
  ]);
}
