import Table from "cli-table3";
import type { LabStatus } from "../deploy/supervisor/status.ts";

/** The lab as one table: members, apiservers, components, nodes with their processes. */
export function statusTable(status: LabStatus): string {
  const table = new Table({
    head: ["NAME", "STATE", "PID", "RESTARTS", "DETAIL"],
    chars: borderless,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 3 },
  });
  const pid = (value: number | null) => value ?? "-";
  for (const { name, role, term, commitIndex, clientUrl, restarts, lastLeaderChange, ...member } of status.members) {
    const raft = term === null ? "" : `term ${term}, commit index ${commitIndex}, `;
    table.push([name, role, pid(member.pid), restarts, `${raft}${clientUrl}`]);
    if (lastLeaderChange) {
      const { time, message } = lastLeaderChange;
      table.push(["", "", "", "", `${time.slice(11, 19)} UTC: ${message}`]);
    }
  }
  for (const { name, url, restarts, ...apiserver } of status.apiservers) {
    table.push([name, apiserver.pid === null ? "down" : "running", pid(apiserver.pid), restarts, url]);
  }
  for (const process of status.components) table.push(processRow(process));
  for (const node of status.nodes) {
    table.push([node.name, node.ready ? "Ready" : "NotReady", "", "", node.address]);
    for (const process of node.processes) table.push(processRow(process));
  }
  return `lab ${status.name}, mode ${status.mode}, preset ${status.preset}, slot ${status.slot}\n\n${table}`;
}

function processRow({ name, state, pid, restarts, lastExit }: LabStatus["components"][number]): (string | number)[] {
  return [name, state.toLowerCase(), pid ?? "-", restarts, lastExit === null ? "" : `ended last: ${lastExit}`];
}

const borderless = Object.fromEntries(
  ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right"]
    .concat(["left", "left-mid", "mid", "mid-mid", "right", "right-mid", "middle"])
    .map((part) => [part, ""]),
);
