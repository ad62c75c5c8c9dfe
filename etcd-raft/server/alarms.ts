import { memo } from "../../base/memo.ts";
import type { AlarmMember, AlarmRequest, InternalRaftRequest } from "../../proto/generated/etcdserverpb.ts";
import { etcdError } from "../errors.ts";
import { costOfTxn } from "./quota.ts";

/** `etcdserverpb.AlarmType` */
export const Alarm = { none: 0, noSpace: 1, corrupt: 2 } as const;

/** Raised alarms, by member and type: replicated state. They end only when somebody takes them back. */
export class Alarms {
  readonly #all = new Map<string, AlarmMember>();

  activate(memberID: bigint, alarm: number): AlarmMember[] {
    if (alarm === Alarm.none || alarmNames[alarm] === undefined) return []; // Differs: the latter ends etcd
    return [memo(this.#all, `${memberID} ${alarm}`, () => ({ memberID, alarm }))];
  }

  deactivate(memberID: bigint, alarm: number): AlarmMember[] {
    const key = `${memberID} ${alarm}`;
    const raised = this.#all.get(key);
    this.#all.delete(key);
    return raised ? [raised] : [];
  }

  /** As a request asks for it: action 0 lists, 1 raises, 2 takes back. Returns what it is about. */
  apply({ action, memberID, alarm }: AlarmRequest): AlarmMember[] {
    if (action === 0) return this.list(alarm);
    return action === 1 ? this.activate(memberID, alarm) : this.deactivate(memberID, alarm);
  }

  /** `none`: all. */
  list(alarm: number = Alarm.none): AlarmMember[] {
    return [...this.#all.values()].filter((raised) => alarm === Alarm.none || raised.alarm === alarm);
  }

  get raised(): boolean {
    return this.#all.size > 0;
  }

  has(alarm: number): boolean {
    return this.list(alarm).length > 0;
  }

  restore(alarms: readonly AlarmMember[]): void {
    this.#all.clear();
    for (const { memberID, alarm } of alarms) this.activate(memberID, alarm);
  }
}

export const alarmNames = ["NONE", "NOSPACE", "CORRUPT"] as const;

/** With a corrupt member no answer can be trusted. Differs: etcd documents that and lets reads through. */
export function checkReads(alarms: Alarms): void {
  if (alarms.raised && alarms.has(Alarm.corrupt)) throw etcdError("corrupt");
}

/** What the alarms forbid to apply: with no space everything that adds, with a corrupt member everything of KV and Lease. */
export function checkAlarms(alarms: Alarms, request: InternalRaftRequest): void {
  const { put, txn, deleteRange, compaction, leaseGrant, leaseRevoke } = request;
  if (alarms.has(Alarm.corrupt) && (put || txn || deleteRange || compaction || leaseGrant || leaseRevoke))
    throw etcdError("corrupt");
  if (alarms.has(Alarm.noSpace) && (put || leaseGrant || (txn && costOfTxn(txn) > 0))) throw etcdError("noSpace");
}
