import { StartError } from "../base/process.ts";
import { type FaultRequest, faultKinds } from "../lab/faults/types.ts";

/** `kubelab fault KIND TARGET [PEER] [NAME=VALUE...]` as a request; whether it is one, the supervisor says. */
export function faultRequest(fault: string, target: string | undefined, rest: (string | undefined)[]): FaultRequest {
  const words = rest.filter((word) => word !== undefined);
  const peer = words[0]?.includes("=") ? undefined : words.shift();
  const odd = words.find((word) => !word.includes("="));
  if (odd !== undefined) throw new StartError(`parameters are NAME=VALUE, not ${odd}`);
  const parameters = words.map((word) => {
    const [name, value] = [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)];
    return [name, value.trim() === "" || Number.isNaN(Number(value)) ? value : Number(value)] as const;
  });
  return { fault, target, peer, ...Object.fromEntries(parameters) } as FaultRequest;
}

/** One line a kind. */
export function describeFaults(): string {
  return Object.entries(faultKinds)
    .map(([kind, { does, fields }]) => {
      const names = Object.keys(fields).map((name) => (name === "peer" ? "[PEER]" : `${name}=`));
      return `${kind.padEnd(16)} ${does}${names.length > 0 ? `  (${names.join(" ")})` : ""}`;
    })
    .join("\n");
}
