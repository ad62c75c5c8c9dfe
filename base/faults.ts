import net from "node:net";
import { overlap, readCidr } from "./cidr.ts";
import { type Clock, systemClock } from "./clock.ts";
import { listenPrivately } from "./private-socket.ts";

/**
 * Faults that a process takes on request, over a unix socket that only its user may open (`--fault-socket=PATH`; without
 * the flag nothing here runs). One JSON object a line asks, one answers:
 *
 *     {"set":"cut","fault":{"type":"block","peer":"m2","direction":"both"}}   `cut` is the asker's name for it
 *     {"set":"disk","fault":{"type":"slow-sync","ms":200}}                    the same name again replaces
 *     {"clear":"cut"}   {"clear":"*"}   {"list":true}
 *
 *     {"ok":true,"faults":{"disk":{"type":"slow-sync","ms":200}}}             all that are set now
 *     {"ok":false,"error":"one line"}
 *
 * A fault stays until it is cleared, whatever happens to the connection that set it, and ends with the process.
 */
export type Fault =
  /** Nothing passes, and nobody is told: a cable that is cut. `peer`: a name, id or address, a range of them, or `*`. */
  | { type: "block"; peer: string; direction: Direction }
  /** Everything passes in order, so much later, and by chance up to `jitterMs` more. */
  | { type: "delay"; peer: string; direction: Direction; ms: number; jitterMs?: number }
  /** Everything passes in order, so many bytes a second. */
  | { type: "throttle"; peer: string; direction: Direction; bytesPerSecond: number }
  /** Nothing passes until it is cleared; then all of it, in order. */
  | { type: "stall"; peer: string; direction: Direction }
  /** Every sync takes so much longer. */
  | { type: "slow-sync"; ms: number }
  /** Every sync fails (EIO). */
  | { type: "fail-sync" }
  /** What would make a file longer fails (ENOSPC). */
  | { type: "full-disk" }
  /** The wall clock is off by `offsetMs`, and from now on runs at `rate` (1: as it should). */
  | { type: "clock"; offsetMs: number; rate: number };

/** As seen from this process. */
export type Direction = "in" | "out" | "both";

const freeLink = { blocked: false, stalled: false, delayMs: 0, jitterMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY };

/** How one way to or from a peer is. */
export type LinkState = typeof freeLink;

export class Faults {
  readonly #monotonic: () => number;
  /** When each was set. */
  readonly #since = new Map<string, number>();
  #set: ReadonlyMap<string, Fault> = new Map();
  readonly #listeners = new Set<(faults: ReadonlyMap<string, Fault>) => void>();

  constructor(monotonic: () => number = () => systemClock.monotonic()) {
    this.#monotonic = monotonic;
  }

  get size(): number {
    return this.#set.size;
  }

  /** Blocked wins over stalled, and that over late; delays add up. `names`: all that the peer is called. */
  link(names: readonly string[], direction: "in" | "out"): LinkState {
    const result = { ...freeLink };
    for (const fault of this.#set.values()) {
      if (!("peer" in fault)) continue;
      if (fault.direction !== direction && fault.direction !== "both") continue;
      if (fault.peer !== "*" && !names.includes(fault.peer) && !isIn(fault.peer, names)) continue;
      if (fault.type === "block") result.blocked = true;
      else if (fault.type === "stall") result.stalled = true;
      else if (fault.type === "throttle") result.bytesPerSecond = Math.min(result.bytesPerSecond, fault.bytesPerSecond);
      else {
        result.delayMs += fault.ms;
        result.jitterMs += fault.jitterMs ?? 0;
      }
    }
    return result;
  }

  get disk(): { syncDelayMs: number; syncFails: boolean; full: boolean } {
    const all = [...this.#set.values()];
    return {
      syncDelayMs: all.reduce((sum, fault) => sum + (fault.type === "slow-sync" ? fault.ms : 0), 0),
      syncFails: all.some(({ type }) => type === "fail-sync"),
      full: all.some(({ type }) => type === "full-disk"),
    };
  }

  /** What the faulty wall clock shows when the right one shows `now` and the monotonic one `monotonic`. */
  wallClock(now: number, monotonic: number): number {
    for (const [name, fault] of this.#set)
      if (fault.type === "clock")
        now += fault.offsetMs + (fault.rate - 1) * (monotonic - (this.#since.get(name) ?? monotonic));
    return now;
  }

  set(name: string, fault: Fault): void {
    this.#since.set(name, this.#monotonic());
    this.#change(new Map([...this.#set, [name, fault]]));
  }

  /** `*`: all. */
  clear(name: string): void {
    this.#change(new Map([...this.#set].filter(([each]) => name !== "*" && each !== name)));
  }

  /** Returns the way to stop. */
  onChange(listener: (faults: ReadonlyMap<string, Fault>) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #change(set: ReadonlyMap<string, Fault>): void {
    this.#set = set;
    for (const listener of this.#listeners) listener(set);
  }

  /** Takes one line of a request; the answer to it. */
  answer(line: string): FaultAnswer {
    try {
      const { set, fault, clear, list } = JSON.parse(line) as Record<string, unknown>;
      if (typeof set === "string") this.set(set, checkedFault(fault));
      else if (typeof clear === "string") this.clear(clear);
      else if (list !== true) throw new Error('a request has "set" and "fault", "clear", or "list"');
      return { ok: true, faults: Object.fromEntries(this.#set) };
    } catch (error) {
      return { ok: false, error: (error as Error).message };
    }
  }
}

export type FaultAnswer = { ok: true; faults: Record<string, Fault> } | { ok: false; error: string };

function checkedFault(value: unknown): Fault {
  const fields = (value ?? {}) as Record<string, unknown>;
  const { type, peer, direction = "both" } = fields;
  const number = (field: string, min: number, max: number, absent?: number) => {
    const given = fields[field] ?? absent;
    if (typeof given === "number" && given >= min && given <= max) return given;
    throw new Error(`"${field}" is a number from ${min} to ${max}`);
  };
  const link = () => {
    if (typeof peer !== "string" || peer === "") throw new Error('"peer" is a name, an id or "*"');
    if (direction !== "in" && direction !== "out" && direction !== "both")
      throw new Error('"direction" is in, out or both');
    return { peer, direction } as const;
  };
  switch (type) {
    case "block":
    case "stall":
      return { type, ...link() };
    case "delay":
      return { type, ...link(), ms: number("ms", 0, maxMs), jitterMs: number("jitterMs", 0, maxMs, 0) };
    case "throttle":
      return { type, ...link(), bytesPerSecond: number("bytesPerSecond", 1, 1e12) };
    case "slow-sync":
      return { type, ms: number("ms", 0, maxMs) };
    case "clock":
      return { type, offsetMs: number("offsetMs", -maxClockMs, maxClockMs), rate: number("rate", 0, 100) };
    case "fail-sync":
    case "full-disk":
      return { type };
    default:
      throw new Error(`no fault is called ${JSON.stringify(type)}`);
  }
}

function isIn(range: string, addresses: readonly string[]): boolean {
  const cidr = readCidr(range);
  return cidr !== undefined && addresses.map((one) => readCidr(`${one}/32`)).some((one) => one && overlap(one, cidr));
}

const maxMs = 3_600_000;
/** A century. */
const maxClockMs = 3.2e12;

/** Of every process of ours. */
export const faultFlags = {
  "fault-socket": { type: "string", optional: true, help: "unix socket at which faults are set and cleared" },
} as const;

/** The faults of this process and the clock that they bend; without a path there are none. Throws what `listen` throws. */
export async function takeFaults(path: string | undefined): Promise<{ clock: Clock; faults: Faults | undefined }> {
  if (path === undefined) return { clock: systemClock, faults: undefined };
  const faults = new Faults();
  await serveFaults(path, faults);
  return { clock: faultyClock(systemClock, faults), faults };
}

/** Only the wall clock lies: waits and durations are right. What happened when (logs, events) is not asked of it. */
export function faultyClock(clock: Clock, faults: Faults): Clock {
  return { ...clock, now: () => (faults.size === 0 ? clock.now() : faults.wallClock(clock.now(), clock.monotonic())) };
}

/** Serves the socket; a file that a killed process left at `path` is replaced. Throws what `listen` throws. */
export async function serveFaults(path: string, faults: Faults): Promise<{ close(): void }> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    onLines(socket, (line) => void socket.write(`${JSON.stringify(faults.answer(line))}\n`));
  });
  await listenPrivately(server, path);
  server.unref(); // it keeps no process alive
  return { close: () => void server.close() };
}

/** One request to such a socket. Rejects with what was refused, or when nobody answers. */
export function askFaults(path: string, request: FaultRequest): Promise<Record<string, Fault>> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    socket.setTimeout(answerMs, () => socket.destroy(new Error(`${path} does not answer`)));
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`${path} closed without an answer`)));
    onLines(socket, (line) => {
      const answer = JSON.parse(line) as FaultAnswer;
      if (answer.ok) resolve(answer.faults);
      else reject(new Error(answer.error));
      socket.destroy();
    });
    socket.write(`${JSON.stringify(request)}\n`);
  });
}

export type FaultRequest = { set: string; fault: Fault } | { clear: string } | { list: true };

const answerMs = 5000;

function onLines(socket: net.Socket, take: (line: string) => void): void {
  let rest = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    for (const line of lines) take(line);
    if (rest.length > maxLine) socket.destroy();
  });
}

const maxLine = 65_536;
