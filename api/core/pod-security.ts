import * as field from "../../apimachinery/field-error.ts";
import type * as v1 from "../generated/core-v1.ts";
import { validateWindowsOptions } from "./pod-windows.ts";
import { relativePath } from "./volume-sources.ts";

/** How Pods and their containers are confined: users, sysctls, seccomp and AppArmor. */
const ids = ["fsGroup", "runAsUser", "runAsGroup"] as const;
const maxId = 2 ** 31 - 1;
const profileTypes = ["Localhost", "RuntimeDefault", "Unconfined"];

const idProblems = (id: number, at: string): field.FieldError[] =>
  id < 0 || id > maxId ? [field.invalid(at, id, `must be between 0 and ${maxId}, inclusive`)] : [];

const sysctl = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$/;
const sysctlText = `must have at most 253 characters and match regex ${sysctl.source.replace("[./]", "[\\./]")}`;
const bothPids = "ShareProcessNamespace and HostPID cannot both be enabled";

export function* validateSecurity({ securityContext: context = {}, ...spec }: v1.PodSpec, at: string): field.Problems {
  for (const id of ids) yield* idProblems(context[id] ?? 0, `${at}.${id}`);
  yield* field.each(context.supplementalGroups, `${at}.supplementalGroups`, idProblems);
  if (spec.shareProcessNamespace && spec.hostPID) yield field.invalid(`${at}.shareProcessNamespace`, true, bothPids);
  const names = new Set<string>();
  yield* field.each(context.sysctls, `${at}.sysctls`, function* ({ name = "" }, path) {
    const wrong = (text: string) => field.invalid(`${path}.name`, name, text);
    if (!name) yield field.required(`${path}.name`);
    else if (name.length > 253 || !sysctl.test(name)) yield wrong(sysctlText);
    else if (names.size === names.add(name).size) yield field.duplicate(`${path}.name`, name);
  });
  const { fsGroupChangePolicy: change } = context;
  if (change !== undefined)
    yield* field.oneOf(`${at}.fsGroupChangePolicy`, change, ["Always", "OnRootMismatch"], false);
  yield* validateProfiles(context, at);
}

const unmasked = "`hostUsers` must be false to use `Unmasked`";

export function* validateContainerSecurity(container: v1.Container, spec: v1.PodSpec, at: string): field.Problems {
  const { securityContext: context } = container;
  if (!context) return;
  for (const id of ids.slice(1) as "runAsUser"[]) yield* idProblems(context[id] ?? 0, `${at}.${id}`);
  const { procMount } = context;
  if (procMount !== undefined) yield* field.oneOf(`${at}.procMount`, procMount, ["Default", "Unmasked"], false);
  if (procMount === "Unmasked" && spec.hostUsers !== false) yield field.invalid(`${at}.procMount`, procMount, unmasked);
  const refused = (what: string) =>
    field.invalid(at, context, `cannot set \`allowPrivilegeEscalation\` to false and ${what}`);
  const fixed = context.allowPrivilegeEscalation === false;
  if (fixed && context.privileged) yield refused("`privileged` to true");
  if (fixed && context.capabilities?.add?.includes("CAP_SYS_ADMIN")) yield refused("`capabilities.Add` CAP_SYS_ADMIN");
  yield* validateProfiles(context, at);
}

function* validateProfiles(context: v1.SecurityContext | v1.PodSecurityContext, at: string): field.Problems {
  for (const key of ["seccompProfile", "appArmorProfile"] as const) {
    if (key === "appArmorProfile") yield* validateWindowsOptions(context.windowsOptions ?? {}, `${at}.windowsOptions`);
    if (!context[key]) continue;
    const { type, localhostProfile: name } = context[key];
    const what = key === "seccompProfile" ? "seccomp" : "AppArmor";
    const [kind, file] = [`${at}.${key}.type`, `${at}.${key}.localhostProfile`];
    if (!type) yield field.required(kind, `type is required when ${key} is set`);
    else yield* field.oneOf(kind, type, profileTypes, false);
    if (type !== "Localhost") {
      const shown = what === "seccomp" ? context[key] : name; // upstream's
      if (name !== undefined) yield field.invalid(file, shown, `can only be set when ${what} type is Localhost`);
    } else if (name === undefined || (what === "AppArmor" && name === ""))
      yield field.required(file, `must be set when ${what} type is Localhost`);
    else if (what === "seccomp") yield* relativePath(name, file);
    else if (name !== name.trim()) yield field.invalid(file, name, "must not be padded with whitespace");
  }
}
