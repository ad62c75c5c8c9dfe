/**
 * Cron schedules as CronJobs write them: five fields (minute, hour, day of month, month, day of week), `@daily` and its
 * like, or `@every 1h30m`. Throws an Error with the text that upstream's parser (robfig/cron) has for it.
 *
 *   parseSchedule("30 4 * * mon-fri")
 */
export type Schedule = { everyMs: number } | { fields: readonly Field[] };

export interface Field {
  values: ReadonlySet<number>;
  /** Written as `*` or `?`: then only the other of the two day fields counts. */
  any: boolean;
}

interface Bounds {
  min: number;
  max: number;
  names?: readonly string[];
}

const bounds: readonly Bounds[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: ["", ..."jan feb mar apr may jun jul aug sep oct nov dec".split(" ")] },
  { min: 0, max: 6, names: "sun mon tue wed thu fri sat".split(" ") },
];

const descriptors: Record<string, string> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

export function parseSchedule(text: string): Schedule {
  if (text === "") throw new Error("empty spec string");
  if (text.startsWith("@every ")) return { everyMs: parseEvery(text.slice(7), text) };
  if (text.startsWith("@") && !descriptors[text]) throw new Error(`unrecognized descriptor: ${text}`);
  const parts = (descriptors[text] ?? text).trim().split(/\s+/).filter(Boolean);
  if (parts.length !== 5) throw new Error(`expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`);
  return { fields: parts.map((part, i) => parseField(part, bounds[i]!)) };
}

const unitsMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function parseEvery(duration: string, text: string): number {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(duration))
    throw new Error(`failed to parse duration ${text}: time: invalid duration ${JSON.stringify(duration)}`);
  let sum = 0;
  for (const [, amount, unit] of duration.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    sum += Number(amount) * unitsMs[unit!]!;
  return Math.max(1000, sum - (sum % 1000));
}

function parseField(text: string, within: Bounds): Field {
  const ranges = text
    .split(",")
    .filter(Boolean)
    .map((range) => parseRange(range, within));
  return { values: new Set(ranges.flatMap((r) => r.values)), any: ranges.some((r) => r.any) };
}

function parseRange(text: string, { min, max, names }: Bounds): { values: number[]; any: boolean } {
  const [range = "", stepText, ...moreSteps] = text.split("/");
  const [low = "", high, ...moreEnds] = range.split("-");
  const any = low === "*" || low === "?";
  let start = any ? min : parseNumber(low, names);
  let end = any ? max : start;
  if (!any && high !== undefined) {
    if (moreEnds.length > 0) throw new Error(`too many hyphens: ${text}`);
    end = parseNumber(high, names);
  }
  if (moreSteps.length > 0) throw new Error(`too many slashes: ${text}`);
  const step = stepText === undefined ? 1 : parseNumber(stepText, undefined);
  if (stepText !== undefined && high === undefined) end = max; // 5/15 is 5-59/15
  if (start < min) throw new Error(`beginning of range (${start}) below minimum (${min}): ${text}`);
  if (end > max) throw new Error(`end of range (${end}) above maximum (${max}): ${text}`);
  if (start > end) throw new Error(`beginning of range (${start}) beyond end of range (${end}): ${text}`);
  if (step === 0) throw new Error(`step of range should be a positive number: ${text}`);
  const values: number[] = [];
  for (; start <= end; start += step) values.push(start);
  return { values, any: any && step === 1 };
}

function parseNumber(text: string, names: readonly string[] | undefined): number {
  const named = names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0 && text !== "") return named;
  if (/^-\d+$/.test(text)) throw new Error(`negative number (${text}) not allowed: ${text}`);
  if (!/^\+?\d+$/.test(text))
    throw new Error(`failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}
