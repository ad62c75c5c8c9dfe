import { etcdError } from "../errors.ts";
import { clusterVersion } from "./version.ts";

/**
 * Maintenance.Downgrade: a note in the replicated state that the cluster is on its way one minor version down. While it is
 * there the cluster says it has the target's version, and state files are marked as that version's, so that members of it
 * can take the places of ours, one by one. What a member of ours writes can be read by both anyway.
 */
export interface Downgrade {
  enabled: boolean;
  targetVersion: string; // `3.5.0`; empty when not enabled
}

export const noDowngrade: Downgrade = { enabled: false, targetVersion: "" };

/** What the cluster's version is to clients. */
export const versionOf = ({ enabled, targetVersion }: Downgrade): string => (enabled ? targetVersion : clusterVersion);

/** The version that `text` names, `3.5` or `3.5.7`, without its patch. Throws when it is none. */
export function parseTarget(text: string): string {
  const [, major, minor] = /^(\d+)\.(\d+)(\.\d+([-+].+)?)?$/.exec(text) ?? [];
  if (major === undefined) throw etcdError("wrongDowngradeFormat");
  return `${Number(major)}.${Number(minor)}.0`;
}

/** Only one minor version below what the cluster has, and one at a time. */
export function checkTarget(target: string, downgrade: Downgrade): void {
  const [major, minor] = versionOf(downgrade).split(".").map(Number);
  if (target !== `${major}.${minor! - 1}.0`) throw etcdError("invalidDowngradeTarget");
  if (downgrade.enabled) throw etcdError("downgradeInProgress");
}
