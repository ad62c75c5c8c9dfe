import { chmodSync, rmSync } from "node:fs";
import net from "node:net";

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
  /** Nothing passes, and nobody is told: a cable that is cut. `peer`: a name or id, or `*`. */
  | { type: "block"; peer: string; direction: Direction }
  /** Everything passes in order, so much later. */
  | { type: "delay"; peer: string; direction: Direction; ms: number }
  /** Every sync takes so much longer. */
  | { type: "slow-sync"; ms: number }
  /** Every sync fails (EIO). */
  | { type: "fail-sync" }
  /** What would make a file longer fails (ENOSPC). */
  | { type: "full-disk" };

/** As seen from this process. */
export type Direction = "in" | "out" | "both";

export class Faults {
  #set: ReadonlyMap<string, Fault> = new Map();
  #listeners: ((faults: ReadonlyMap<string, Fault>) => void)[] = [];

  get size(): number {
    return this.#set.size;
  }

  /** Blocked wins over delayed; delays add up. `names`: all that the peer is called. */
  link(names: readonly string[], direction: "in" | "out"): { blocked: boolean; delayMs: number } {
    const result = { blocked: false, delayMs: 0 };
    for (const fault of this.#set.values()) {
      if (fault.type !== "block" && fault.type !== "delay") continue;
      if (fault.direction !== direction && fault.direction !== "both") continue;
      if (fault.peer !== "*" && !names.includes(fault.peer)) continue;
      if (fault.type === "block") result.blocked = true;
      else result.delayMs += fault.ms;
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

  set(name: string, fault: Fault): void {
    this.#change(new Map([...this.#set, [name, fault]]));
  }

  /** `*`: all. */
  clear(name: string): void {
    this.#change(new Map([...this.#set].filter(([each]) => name !== "*" && each !== name)));
  }

  onChange(listener: (faults: ReadonlyMap<string, Fault>) => void): void {
    this.#listeners.push(listener);
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
  const { type, peer, direction = "both", ms } = (value ?? {}) as Record<string, unknown>;
  const long = () => {
    if (typeof ms === "number" && ms >= 0 && ms <= maxMs) return ms;
    throw new Error(`"ms" is a number from 0 to ${maxMs}`);
  };
  const link = () => {
    if (typeof peer !== "string" || peer === "") throw new Error('"peer" is a name, an id or "*"');
    if (direction !== "in" && direction !== "out" && direction !== "both")
      throw new Error('"direction" is in, out or both');
    return { peer, direction } as const;
  };
  switch (type) {
    case "block":
      return { type, ...link() };
    case "delay":
      return { type, ...link(), ms: long() };
    case "slow-sync":
      return { type, ms: long() };
    case "fail-sync":
    case "full-disk":
      return { type };
    default:
      throw new Error(`no fault is called ${JSON.stringify(type)}`);
  }
}

const maxMs = 3_600_000;

/** Serves the socket; a file that a killed process left at `path` is replaced. Throws what `listen` throws. */
export async function serveFaults(path: string, faults: Faults): Promise<{ close(): void }> {
  rmSync(path, { force: true });
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    onLines(socket, (line) => void socket.write(`${JSON.stringify(faults.answer(line))}\n`));
  });
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o600);
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
