import { isIP } from "node:net";
import { StartError } from "../../base/process.ts";
import { maxNodes } from "./addresses.ts";
import { splitEndpoint } from "./kubeconfig.ts";
import type { LabRequest, Mode } from "./lab-file.ts";
import { type PresetName, presetNames } from "./presets.ts";

/** What was asked for as text and numbers, checked; a StartError names the first thing that cannot be. */
export function checkedRequest(asked: {
  name: string;
  members?: number | undefined;
  nodes?: number | undefined;
  preset?: string | undefined;
  mode?: string | undefined;
  tlsSans?: string[] | undefined;
  controlPlaneEndpoint?: string | undefined;
}): LabRequest {
  const { name, members, nodes, preset, mode, tlsSans, controlPlaneEndpoint } = asked;
  const refuse = (line: string): never => {
    throw new StartError(line);
  };
  if (!/^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(name)) {
    refuse(`lab name "${name}" must be at most 40 lower case letters, digits and inner dashes`);
  }
  if (members !== undefined && ![1, 3, 5].includes(members)) refuse(`--members must be 1, 3 or 5, not ${members}`);
  if (nodes !== undefined && !(Number.isInteger(nodes) && nodes >= 0 && nodes <= maxNodes)) {
    refuse(`--nodes must be between 0 and ${maxNodes}, not ${nodes}`);
  }
  if (preset !== undefined && !presetNames.includes(preset as PresetName)) {
    refuse(`--preset must be one of ${presetNames.join(", ")}, not ${preset}`);
  }
  if (mode !== undefined && mode !== "netns" && mode !== "host") refuse(`--mode must be netns or host, not ${mode}`);
  const wrong = tlsSans?.find((san) => !isName(san.replace(/^\*\./, "")));
  if (wrong !== undefined) refuse(`--tls-sans takes DNS names and IP addresses, not "${wrong}"`);
  if (controlPlaneEndpoint !== undefined) {
    const { host, port } = splitEndpoint(controlPlaneEndpoint);
    if (!isName(host) || !(Number.isInteger(port) && port > 0 && port < 65_536))
      refuse(`--control-plane-endpoint must be HOST:PORT, not "${controlPlaneEndpoint}"`);
  }
  return {
    name,
    members,
    nodes,
    preset: preset as PresetName | undefined,
    mode: mode as Mode | undefined,
    tlsSans,
    controlPlaneEndpoint,
  };
}

const isName = (text: string): boolean =>
  isIP(text) !== 0 ||
  (text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text));
