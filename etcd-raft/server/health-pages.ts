import { none } from "../raft/types.ts";
import { Alarm, alarmNames } from "./alarms.ts";
import type { Member } from "./member.ts";

/**
 * The health pages of etcd (server/etcdserver/api/etcdhttp): `/health` with its JSON, and `/livez` and `/readyz` with a
 * list of checks, each of them also a page of its own (`/readyz/linearizable_read`).
 *
 * - `exclude=NAME` leaves out an alarm of `/health`, or a check of the other two; several times if wanted.
 * - `serializable=true`: of `/health`, whether this member serves, be there a leader or not.
 * - `verbose`: names the checks that passed, too. Those that failed are always named.
 */
export type Page = { code: 200 | 503; body: string };

/** Undefined when it holds, else why not. */
type Check = (member: Member) => undefined | string | Promise<string | undefined>;

const checks: Record<string, Check> = {
  data_corruption: ({ applier: { alarms } }) => (alarms.has(Alarm.corrupt) ? "alarm activated: CORRUPT" : undefined),
  serializable_read: () => undefined, // this page was answered, so a read of this member's own state would be
  linearizable_read: (member) => {
    if (!member.published) return "range error: not yet published to the cluster";
    // Differs: etcd waits for a leader until its request timeout.
    if (member.leader === none) return "range error: etcdserver: no leader";
    return member.linearizable(() => undefined).catch((error: Error) => `range error: ${error.message}`);
  },
};

const pages: Record<string, string[]> = {
  "/livez": ["serializable_read"],
  "/readyz": ["data_corruption", "serializable_read", "linearizable_read"],
};

/** Undefined: no such page. */
export function healthPage(member: Member, path: string, query: URLSearchParams): Promise<Page> | undefined {
  if (path === "/health") return health(member, query);
  const [root, name, ...more] = path.split("/").slice(1);
  const all = pages[`/${root}`];
  if (all === undefined || more.length > 0) return undefined;
  if (name === undefined) return checked(member, all, query, query.getAll("exclude"));
  return all.includes(name) ? checked(member, [name], query, []) : undefined;
}

async function checked(member: Member, names: string[], query: URLSearchParams, excluded: string[]): Promise<Page> {
  const lines: string[] = [];
  let code: Page["code"] = 200;
  for (const name of names) {
    if (excluded.includes(name)) continue;
    const reason = await checks[name]!(member);
    lines.push(reason === undefined ? `[+]${name} ok\n` : `[-]${name} failed: ${reason}\n`);
    if (reason !== undefined) code = 503;
  }
  if (code === 503) return { code, body: `${lines.join("")}\n` };
  return { code, body: `${query.has("verbose") ? lines.join("") : ""}ok\n` };
}

async function health(member: Member, query: URLSearchParams): Promise<Page> {
  const reason = await unhealthy(member, query.getAll("exclude"), query.get("serializable") === "true");
  const body = JSON.stringify({ health: reason === undefined ? "true" : "false", reason: reason ?? "" });
  return { code: reason === undefined ? 200 : 503, body: reason === undefined ? body : `${body}\n` };
}

async function unhealthy(member: Member, excluded: string[], serializable: boolean): Promise<string | undefined> {
  const alarms = member.applier.alarms.list().map(({ alarm }) => alarmNames[alarm]!);
  const alarm = alarms.find((name) => !excluded.includes(name));
  if (alarm !== undefined) return `ALARM ${alarm}`;
  if (serializable) return undefined;
  if (member.leader === none) return "RAFT NO LEADER";
  return member.linearizable(() => undefined).catch((error: Error) => `RANGE ERROR:${error.message}`);
}
