/** Times as the API writes them: RFC 3339 in UTC, seconds (`Time`) or microseconds (`MicroTime`); and ages. */
const shape = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

export const formatTime = (ms: number): string =>
  `${new Date(Math.floor(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;

export const formatMicroTime = (ms: number, micros = 0): string =>
  `${new Date(ms).toISOString().slice(0, 23)}${String(micros).padStart(3, "0")}Z`;

/** Milliseconds since the epoch of any RFC 3339 time; NaN when it is none. */
export const parseTime = (text: string | undefined): number =>
  text !== undefined && shape.test(text) ? Date.parse(text) : Number.NaN;

/** Throws an Error with Go's text. */
export function canonicalTime(text: string, micro: boolean): string {
  const match = shape.exec(text);
  const ms = Date.parse(text);
  if (!match || Number.isNaN(ms)) {
    const layout = micro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00";
    throw new Error(
      `parsing time ${JSON.stringify(text)} as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(text)} as "2006"`,
    );
  }
  return micro ? formatMicroTime(ms, Number((match[7] ?? "").padEnd(9, "0").slice(3, 6))) : formatTime(ms);
}

/** How long ago, as kubectl prints it: `5s`, `2m3s`, `18m`, `3h5m`, `2d4h`, `400d`. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  const rest = (value: number, unit: string) => (value === 0 ? "" : `${value}${unit}`);
  if (minutes < 10) return `${minutes}m${rest(seconds % 60, "s")}`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return `${hours}h${rest(minutes % 60, "m")}`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return `${days}d${rest(hours % 24, "h")}`;
  if (days < 365 * 2) return `${days}d`;
  const years = Math.floor(days / 365);
  if (years < 8) return `${years}y${rest(days % 365, "d")}`;
  return `${years}y`;
}

/** The cell of an age column; `<unknown>` without a time. */
export function age(timestamp: string | undefined, now: number): string {
  const then = parseTime(timestamp);
  return Number.isNaN(then) ? "<unknown>" : humanDuration(now - then);
}
