import http from "node:http";
import { sleep, systemClock } from "../base/clock.ts";
import { StartError } from "../base/process.ts";
import type { LabEvent } from "../deploy/supervisor/events.ts";
import type { LabStatus } from "../deploy/supervisor/status.ts";
import type { FaultReport, FaultRequest, HealReport } from "../lab/faults/types.ts";
import { isRunning, type LabRef } from "./lab-ref.ts";

/** False when it did not run. Else all is gone then, the supervisor, too: `up` may follow at once. */
export async function takeDown(ref: LabRef): Promise<boolean> {
  if (!(await isRunning(ref))) return false;
  await new SupervisorClient(ref.socket).stop();
  while (await isRunning(ref)) await sleep(systemClock, 5);
  return true;
}

/** Talks to the supervisor of a lab (deploy/supervisor/api.ts). What it refuses becomes a StartError: one line. */
export class SupervisorClient {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  status(): Promise<LabStatus> {
    return this.#call("GET", "/v1/status");
  }

  async kill(process: string, signal: string): Promise<string[]> {
    return (await this.#call<{ processes: string[] }>("POST", "/v1/kill", { process, signal })).processes;
  }

  async start(process: string): Promise<string[]> {
    return (await this.#call<{ processes: string[] }>("POST", "/v1/start", { process })).processes;
  }

  fault(request: FaultRequest): Promise<FaultReport> {
    return this.#call("POST", "/v1/fault", request);
  }

  faults(): Promise<FaultReport[]> {
    return this.#call("GET", "/v1/faults");
  }

  heal(id?: string): Promise<HealReport[]> {
    return this.#call("POST", "/v1/heal", { id });
  }

  /** Resolves when all of the lab is gone. */
  async stop(): Promise<void> {
    await this.#call("POST", "/v1/stop", {});
  }

  /** Everything that happened so far. */
  eventsSoFar(): Promise<LabEvent[]> {
    return this.#call("GET", "/v1/events?follow=false");
  }

  /** Everything that happened so far, then what comes, until the supervisor ends. */
  async *events(): AsyncGenerator<LabEvent> {
    const response = await this.#request("GET", "/v1/events");
    let rest = "";
    try {
      for await (const chunk of response.setEncoding("utf8")) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop()!;
        for (const line of lines) yield JSON.parse(line) as LabEvent;
      }
    } catch {} // the supervisor was killed: no more events
  }

  async #call<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await this.#request(method, path, body);
    let text = "";
    try {
      for await (const chunk of response.setEncoding("utf8")) text += chunk;
    } catch {
      throw new StartError("the supervisor ended before it answered");
    }
    const answer = JSON.parse(text) as T & { error?: string };
    if (response.statusCode !== 200)
      throw new StartError(answer.error ?? `the supervisor answered ${response.statusCode}`);
    return answer;
  }

  #request(method: string, path: string, body?: object): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = http.request({ socketPath: this.#socket, method, path, agent: false }, resolve);
      request.once("error", (error: NodeJS.ErrnoException) => {
        reject(new StartError(`cannot talk to the supervisor: ${error.message}`));
      });
      request.end(body && JSON.stringify(body));
    });
  }
}
