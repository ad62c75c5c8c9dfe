import { mkdirSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import { dirname, join } from "node:path";
import { type Clock, sleep } from "../../base/clock.ts";
import type { HistoryEvent } from "../../etcd-raft/server/history.ts";
import { readTls } from "../../net/tls.ts";
import { addressesOf, ports } from "../lab/addresses.ts";
import type { LabFile } from "../lab/lab-file.ts";
import { type LabPaths, logFile } from "../lab/paths.ts";
import { isForeign, memberNames } from "../lab/processes.ts";
import { eventOfLine, followLines } from "./etcd-log.ts";
import type { EventLog } from "./events.ts";

/**
 * Follows what every member says of itself (`GET /debug/raft/events`) and keeps it in the lab's events: a member that is
 * killed takes its own history along. Of a real etcd it reads the log.
 */
export class RaftEvents {
  readonly #changes = new Map<string, LeaderChanges>();

  constructor(lab: LabFile, paths: LabPaths, events: EventLog, clock: Clock, signal: AbortSignal) {
    const { outside } = addressesOf(lab);
    const file = (name: string) => join(paths.certs, "etcd", name);
    const tls = readTls({ certFile: file("client.crt"), keyFile: file("client.key"), caFile: file("ca.crt") });
    for (const [i, name] of memberNames(lab).entries()) {
      const changes = new LeaderChanges();
      this.#changes.set(name, changes);
      if (isForeign(lab, name)) {
        const log = logFile(paths, name);
        mkdirSync(dirname(log), { recursive: true, mode: 0o700 });
        followLines(log, signal, (line) => {
          const event = eventOfLine(line);
          if (!event) return;
          const { kind, message, wallMs, ...details } = event;
          changes.take({ kind, message, time: new Date(wallMs).toISOString() });
          const monotonicMs = clock.monotonic() - (clock.now() - wallMs);
          events.add("Raft", name, message, { ...details, kind, monotonicMs }, events.stamp(wallMs, monotonicMs));
        });
        continue;
      }
      const seen = new Seen();
      const onEvent = (event: HistoryEvent) => {
        if (!seen.isNew(event)) return;
        changes.take(event);
        const { kind, term, index, life, monotonicMs, details } = event;
        const stamp = events.stamp(Date.parse(event.time), monotonicMs);
        events.add("Raft", name, event.message, { ...details, kind, term, index, life, monotonicMs }, stamp);
      };
      const url = `https://${outside.member(i + 1)}:${ports.client}/debug/raft/events?follow=true`;
      void follow(url, { ...tls, servername: name }, onEvent, clock, signal);
    }
  }

  lastLeaderChange(member: string): LeaderChange | null {
    return this.#changes.get(member)?.last ?? null;
  }
}

/** When a member last found or lost a leader, and why. */
export interface LeaderChange {
  /** RFC 3339. */
  time: string;
  message: string;
}

/** A new leader is told with why the one before was lost, also over a restart of the member. */
export class LeaderChanges {
  last: LeaderChange | undefined;
  #lost: string | undefined;

  take({ kind, time, message }: Pick<HistoryEvent, "kind" | "time" | "message">): void {
    if (kind === "LeaderFound") {
      this.last = { time, message: this.#lost === undefined ? message : `${message}; before: ${this.#lost}` };
      this.#lost = undefined;
    } else if (kind === "Started" || kind === "LeaderLost") {
      this.#lost = kind === "Started" ? "this member was restarted" : message;
      this.last = { time, message: this.#lost };
    }
  }
}

/** A stream begins with what is kept of the member's life: most of it is known when it is opened again. */
export class Seen {
  #life = "";
  #seq = 0;

  isNew({ life, seq }: Pick<HistoryEvent, "life" | "seq">): boolean {
    if (life === this.#life && seq <= this.#seq) return false;
    this.#life = life;
    this.#seq = seq;
    return true;
  }
}

async function follow(
  url: string,
  tls: https.RequestOptions,
  onEvent: (event: HistoryEvent) => void,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        https.get(url, { ...tls, signal, agent: false }, resolve).on("error", reject);
      });
      let rest = "";
      for await (const chunk of response.setEncoding("utf8")) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop()!;
        for (const line of lines) onEvent(JSON.parse(line) as HistoryEvent);
      }
    } catch {} // it is down, or not up yet
    await sleep(clock, retryMs, signal);
  }
}

const retryMs = 500;
