import * as field from "../../apimachinery/field-error.ts";
import { dns1123Subdomain } from "../../apimachinery/names.ts";
import type * as v1 from "../generated/core-v1.ts";

/** What Pods and containers may not say when they are for a system (spec.os), each word a path; ~ is securityContext. */
const both = "~appArmorProfile ~seLinuxOptions";
const ofFiles = "~fsGroup ~fsGroupChangePolicy ~sysctls shareProcessNamespace ~runAsUser ~runAsGroup";
const ofGroups = "~supplementalGroups ~supplementalGroupsPolicy ~seLinuxChangePolicy";
const ofContainers = "~capabilities ~readOnlyRootFilesystem ~privileged ~allowPrivilegeEscalation ~procMount";
const linux = ["~windowsOptions", "~windowsOptions", "windows options cannot be set for a linux pod"] as const;
const windows = [
  `${both} hostUsers hostPID hostIPC ~seccompProfile ${ofFiles} ${ofGroups}`,
  `${both} ~seccompProfile ${ofContainers} ~runAsUser ~runAsGroup`,
  "cannot be set for a windows pod",
] as const;

export function* validateOs(spec: v1.PodSpec, path: string): field.Problems {
  if (!spec.os) return;
  const { name } = spec.os;
  if (!name) return yield field.required(`${path}.os.name`, "cannot be empty");
  if (name !== "linux" && name !== "windows") return yield field.notSupported(`${path}.os`, name, ["linux", "windows"]);
  const [ofPod, ofContainer, text] = name === "windows" ? windows : linux;
  yield* unset(spec, ofPod, path, text);
  for (const [container, at] of containersOf(spec, path)) yield* unset(container, ofContainer, at, text);
}

function* unset(object: object, words: string, path: string, text: string): field.Problems {
  for (const key of words.replaceAll("~", "securityContext.").split(" ")) {
    const value = key.split(".").reduce<unknown>((at, name) => (at as Record<string, unknown>)?.[name], object);
    if (value !== undefined && (value || !/^host[PI]/.test(key))) yield field.forbidden(`${path}.${key}`, text);
  }
}

/** Init containers, containers and debuggers, each with its path (VisitContainersWithPath). */
export function* containersOf(spec: v1.PodSpec, path: string): Generator<[v1.Container, string]> {
  for (const list of ["initContainers", "containers", "ephemeralContainers"] as const)
    for (const [i, container] of (spec[list] ?? []).entries()) yield [container, `${path}.${list}[${i}]`];
}

export function* validateWindowsOptions(given: v1.WindowsSecurityContextOptions, at: string): field.Problems {
  const { gmsaCredentialSpecName: name, gmsaCredentialSpec: spec = "-", runAsUserName: user } = given;
  if (name !== undefined) yield* field.shaped(`${at}.gmsaCredentialSpecName`, name, dns1123Subdomain);
  const wrong = !spec ? "cannot be an empty string" : spec.length > 65_536 && "size must be under 64 KiB";
  if (wrong) yield field.invalid(`${at}.gmsaCredentialSpec`, spec, `gmsaCredentialSpec ${wrong}`);
  if (user !== undefined) yield* field.shaped(`${at}.runAsUserName`, user, userProblems);
}

const label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
const netBiosOrDns = new RegExp(`^[^\\\\/:*?"<>|.][^\\\\/:*?"<>|]{0,14}$|^${label}(?:\\.${label})*$`);

function userProblems(name: string): string[] {
  const [user = "", domain = "d", more] = name.split("\\").reverse();
  if (name === "") return ["runAsUserName cannot be an empty string"];
  if (/\p{Cc}/u.test(name)) return ["runAsUserName cannot contain control characters"];
  if (more !== undefined) return ["runAsUserName cannot contain more than one backslash"];
  return [
    domain.length >= 256 && "Domain length must be under 256 characters",
    !netBiosOrDns.test(domain) && "Domain doesn't match the NetBios nor the DNS format",
    user === "" && "User cannot be empty",
    user.length > 104 && "User length must not be longer than 104 characters",
    /^[. ]+$/.test(user) && "User cannot contain only periods or spaces",
    /["/\\:;|=,+*?<>@[\]]/.test(user) && 'User cannot contain the following characters: "/\\:;|=,+*?<>@[]',
  ].flatMap((text) => (text ? `runAsUserName's ${text}` : []));
}

const ofHost = "hostNetwork must be true if pod contains any hostProcess containers";
const allOrNone = "If pod contains any hostProcess containers then all containers must be HostProcess containers";

export function* validateHostProcess(spec: v1.PodSpec, path: string): field.Problems {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  const text = `pod hostProcess value must be identical if both are specified, was ${ofPod}`;
  const set = new Set<boolean | undefined>();
  for (const [{ securityContext }, at] of containersOf(spec, path)) {
    const own = securityContext?.windowsOptions?.hostProcess ?? ofPod;
    set.add(own ?? false);
    if (own !== (ofPod ?? own)) yield field.invalid(`${at}.securityContext.windowsOptions.hostProcess`, own, text);
  }
  if (set.size > 1) yield field.invalid(path, "", allOrNone);
  if (set.has(true) && !spec.hostNetwork) yield field.invalid(`${path}.hostNetwork`, false, ofHost);
}
