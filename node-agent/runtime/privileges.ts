import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { LinuxContainerSecurityContext } from "../../proto/generated/runtime.v1.ts";
import { defaultCapabilities } from "./abilities.ts";

/**
 * setpriv(1)'s arguments for a security context. `uidMap` is /proc/self/uid_map: an ordinary user's namespace knows uid 0
 * only, and asking for another is refused here rather than in the container.
 */
export function privilegeArgs(context: LinuxContainerSecurityContext | undefined, uidMap: string): string[] {
  const args: string[] = [];
  const uid = context?.runAsUser?.value ?? 0;
  const gid = context?.runAsGroup?.value ?? 0;
  const groups = context?.supplementalGroups ?? [];
  if (uid !== 0 || gid !== 0 || groups.length > 0) {
    for (const id of [uid, gid, ...groups]) {
      if (!isMapped(id, uidMap))
        throw new GrpcError(
          Code.FailedPrecondition,
          `cannot run as user or group ${id}: the node runs in a user namespace that does not have it`,
        );
    }
    args.push(`--reuid=${uid}`, `--regid=${gid}`, groups.length ? `--groups=${groups.join(",")}` : "--clear-groups");
  }
  if (context?.noNewPrivs) args.push("--no-new-privs");
  if (context?.privileged) return args;
  const kept = capabilities(context).map((name) => `,+${name}`);
  return [...args, `--bounding-set=-all${kept.join("")}`, "--inh-caps=-all"];
}

function capabilities(context: LinuxContainerSecurityContext | undefined): string[] {
  const plain = (names: string[] | undefined) => (names ?? []).map((name) => name.toLowerCase().replace(/^cap_/, ""));
  const add = plain(context?.capabilities?.addCapabilities);
  const drop = plain(context?.capabilities?.dropCapabilities);
  if (add.includes("all")) return ["all"];
  const kept = drop.includes("all") ? [] : defaultCapabilities.filter((name) => !drop.includes(name));
  return [...new Set([...kept, ...add])];
}

function isMapped(id: number, uidMap: string): boolean {
  return uidMap
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .some(([first, , count]) => id >= first! && id < first! + count!);
}
