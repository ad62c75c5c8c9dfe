import * as field from "../../apimachinery/field-error.ts";
import type * as v1 from "../generated/core-v1.ts";
import { containersOf } from "./pod-windows.ts";
import { relativePath } from "./volume-sources.ts";

/**
 * The annotations that confined containers before there were fields. Those of seccomp do nothing any more; those of AppArmor
 * become the fields of a new Pod. Both must be of a known form, and say what the fields say.
 */
const podSeccomp = "seccomp.security.alpha.kubernetes.io/pod";
const seccomp = "container.seccomp.security.alpha.kubernetes.io/";
export const appArmor = "container.apparmor.security.beta.kubernetes.io/";
const local = "localhost/";

export function* validateProfiles(annotations: Record<string, string> = {}, spec: v1.PodSpec, path: string) {
  const names = [...containersOf(spec, "")].map(([{ name }]) => name);
  for (const [key, text] of Object.entries(annotations)) {
    const at = `${path}[${key}]`;
    const name = key.startsWith(appArmor) ? key.slice(appArmor.length) : undefined;
    if (name !== undefined) {
      if (!names.includes(name)) yield field.invalid(at, name, "container not found");
      if (text !== "" && !profileOf(text))
        yield field.invalid(at, text, `invalid AppArmor profile name: ${JSON.stringify(text)}`);
    } else if (key === podSeccomp || key.startsWith(seccomp)) {
      if (text.startsWith(local))
        yield* relativePath(text.slice(local.length), `${path}.${key}`); // upstream's path
      else if (!profileOf(text, true)) yield field.invalid(`${path}.${key}`, text, "must be a valid seccomp profile");
    }
  }
}

function profileOf(text: string, docker = false): v1.AppArmorProfile | undefined {
  if (text === "unconfined") return { type: "Unconfined" };
  if (text === "runtime/default" || (docker && text === "docker/default")) return { type: "RuntimeDefault" };
  return text.startsWith(local) ? { type: "Localhost", localhostProfile: text.slice(local.length) } : undefined;
}

/** Of a new Pod. */
export function* validateProfilesMatch({ metadata, spec }: v1.Pod): field.Problems {
  const { seccompProfile, appArmorProfile } = spec.securityContext ?? {};
  function* match(key: string, profile: v1.AppArmorProfile | undefined, at: string): field.Problems {
    const text = metadata.annotations?.[key];
    if (text === undefined || !profile) return;
    const [what, place] = key.startsWith(appArmor) ? ["apparmor", "appArmorProfile"] : ["seccomp", "seccompProfile"];
    const { type, localhostProfile } = profileOf(text, what === "seccomp") ?? {};
    const differs = (part: string, name: string) =>
      field.forbidden(`${at}.securityContext.${place}.${part}`, `${what} ${name} in annotation and field must match`);
    if (type !== profile.type) yield differs("type", "type");
    else if (localhostProfile !== profile.localhostProfile) yield differs("localhostProfile", "profile");
  }
  yield* match(podSeccomp, seccompProfile, "spec");
  const all = [...containersOf(spec, "spec")];
  for (const [{ name, securityContext: own }, at] of all) yield* match(seccomp + name, own?.seccompProfile, at);
  for (const [{ name, securityContext: own }, at] of spec.os?.name === "windows" ? [] : all)
    yield* match(appArmor + name, own?.appArmorProfile ?? appArmorProfile, at);
}

/** What an annotation says becomes the field, where there is none and the Pod's own says something else (KEP-24). */
export function syncAppArmor({ metadata, spec }: v1.Pod): void {
  const { type, localhostProfile } = spec.securityContext?.appArmorProfile ?? {};
  for (const [container] of spec.os?.name === "windows" ? [] : containersOf(spec, "")) {
    const profile = profileOf(metadata.annotations?.[appArmor + container.name] ?? "");
    const name = profile?.localhostProfile;
    if (!profile || container.securityContext?.appArmorProfile || /^$|^\s|\s$/.test(name ?? "-")) continue;
    if (profile.type !== type || name !== localhostProfile)
      container.securityContext = { ...container.securityContext, appArmorProfile: profile };
  }
}
