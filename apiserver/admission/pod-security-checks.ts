import type { Container, Pod, PodSpec } from "../../api/generated/core-v1.ts";

/**
 * The Pod Security Standards: each check says what a Pod does that its level forbids, in upstream's words
 * (k8s.io/pod-security-admission/policy). Those of one level stand in the order in which upstream names them.
 */
export type Level = "privileged" | "baseline" | "restricted";

type Subject = Pick<Pod, "metadata" | "spec">;
type Run = (pod: Subject, minor: number) => [reason: string, detail: string] | undefined;

interface Check {
  level: Exclude<Level, "privileged">;
  /** The minor version that brought it. */
  since: number;
  run: Run;
  /** A check of the level above that says the same and more. */
  replacedBy?: Run;
}

/** What a Pod violates of a level in a version; the newest is Infinity. */
export function violations(pod: Subject, level: Level, minor: number): [string, string][] {
  if (level === "privileged") return [];
  const applying = checks.filter(({ since, level: own }) => since <= minor && (own === "baseline" || own === level));
  const runs = new Set(applying.map(({ run }) => run));
  return applying
    .filter(({ replacedBy }) => replacedBy === undefined || !runs.has(replacedBy))
    .map(({ run }) => run(pod, minor))
    .filter((found) => found !== undefined);
}

const quoted = (values: Iterable<string>) => [...values].map((value) => JSON.stringify(value)).join(", ");
const some = (names: readonly string[]) => `container${names.length === 1 ? "" : "s"} ${quoted(names)}`;
const plural = (count: number, one: string, many = `${one}s`) => (count === 1 ? one : many);
const sorted = (values: Iterable<string>) => [...new Set(values)].sort();

const containersOf = ({ initContainers = [], containers, ephemeralContainers = [] }: PodSpec): Container[] => [
  ...initContainers,
  ...containers,
  ...(ephemeralContainers as Container[]),
];

const namesOf = (spec: PodSpec, is: (container: Container) => unknown): string[] =>
  containersOf(spec)
    .filter(is)
    .map(({ name }) => name);

type Context = NonNullable<Container["securityContext"]> & NonNullable<PodSpec["securityContext"]>;

/** `pod and containers "a", "b"`, of those whose security context is bad, and these contexts. */
function setters(spec: PodSpec, bad: (context: Context) => boolean) {
  const isBad = ({ securityContext }: PodSpec | Container) =>
    securityContext !== undefined && bad(securityContext as Context);
  const names = namesOf(spec, isBad);
  const who = [...(isBad(spec) ? ["pod"] : []), ...(names.length > 0 ? [some(names)] : [])];
  const contexts = [spec, ...containersOf(spec)].filter(isBad).map((one) => one.securityContext as Context);
  return { who: who.join(" and "), contexts };
}

/** No container needs it on Windows, as of 1.25. */
const isWindows = (spec: PodSpec, minor: number) => minor >= 25 && spec.os?.name === "windows";

const defaultCapabilities = new Set(
  "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT".split(
    " ",
  ),
);
const sysctls: [since: number, names: string][] = [
  [
    0,
    "kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range net.ipv4.ip_unprivileged_port_start",
  ],
  [27, "net.ipv4.ip_local_reserved_ports"],
  [
    29,
    "net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes",
  ],
  [32, "net.ipv4.tcp_rmem net.ipv4.tcp_wmem"],
];
const plainVolumes = new Set(
  "name configMap csi downwardAPI emptyDir ephemeral image persistentVolumeClaim projected secret".split(" "),
);
const addedBy = (container: Container, allowed: { has(name: string): boolean }) =>
  (container.securityContext?.capabilities?.add ?? []).filter((name) => !allowed.has(name));
const addText = (spec: PodSpec, allowed: { has(name: string): boolean }) => {
  const names = namesOf(spec, (c) => addedBy(c, allowed).length > 0);
  const added = sorted(containersOf(spec).flatMap((c) => addedBy(c, allowed)));
  return names.length > 0
    ? [`${some(names)} must not include ${quoted(added)} in securityContext.capabilities.add`]
    : [];
};
const appArmorPrefix = "container.apparmor.security.beta.kubernetes.io/";

const appArmor: Run = ({ metadata, spec }) => {
  const allowed = (profile: string) => /^$|^runtime\/default$|^localhost\//.test(profile);
  const bad = Object.entries(metadata.annotations ?? {})
    .filter(([key, value]) => key.startsWith(appArmorPrefix) && !allowed(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  const { who } = setters(spec, (c) => c.appArmorProfile?.type === "Unconfined");
  if (who) bad.push(`${who} must not set AppArmor profile type to "Unconfined"`);
  if (bad.length > 0) return [plural(bad.length, "forbidden AppArmor profile"), bad.sort().join(", ")];
};

const capabilitiesBaseline: Run = ({ spec }) => {
  const [text] = addText(spec, defaultCapabilities);
  if (text) return ["non-default capabilities", text];
};

const hostNamespaces: Run = ({ spec }) => {
  const set = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((field) => spec[field]);
  if (set.length > 0) return ["host namespaces", set.map((field) => `${field}=true`).join(", ")];
};

const hostPathVolumes: Run = ({ spec }) => {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath).map(({ name }) => name);
  if (names.length > 0) return ["hostPath volumes", `${plural(names.length, "volume")} ${quoted(names)}`];
};

const hostPorts: Run = ({ spec }) => {
  const of = (c: Container) => (c.ports ?? []).flatMap(({ hostPort }) => (hostPort ? [hostPort] : []));
  const names = namesOf(spec, (c) => of(c).length > 0);
  const ports = sorted(containersOf(spec).flatMap(of).map(String));
  const what = `${plural(names.length, "uses", "use")} ${plural(ports.length, "hostPort")} ${ports.join(", ")}`;
  if (names.length > 0) return ["hostPort", `${some(names)} ${what}`];
};

const probeHosts: Run = ({ spec }) => {
  const hosts = ({ livenessProbe, readinessProbe, startupProbe, lifecycle }: Container): string[] => {
    const handlers = [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop];
    return handlers.flatMap((handler) => [handler?.httpGet?.host, handler?.tcpSocket?.host].flatMap((h) => h || []));
  };
  const names = sorted(namesOf(spec, (c) => hosts(c).length > 0));
  const found = sorted(containersOf(spec).flatMap(hosts));
  const what = "probe or lifecycle host";
  const text = `${plural(names.length, "uses", "use")} ${plural(found.length, what)} ${quoted(found)}`;
  if (names.length > 0) return [what, `${some(names)} ${text}`];
};

const privileged: Run = ({ spec }) => {
  const names = namesOf(spec, (c) => c.securityContext?.privileged);
  if (names.length > 0) return ["privileged", `${some(names)} must not set securityContext.privileged=true`];
};

const procMount: Run = ({ spec }) => {
  const { who, contexts } = setters(spec, (c) => c.procMount !== undefined && c.procMount !== "Default");
  const values = quoted(sorted(contexts.map((c) => c.procMount!)));
  if (who) return ["procMount", `${who} must not set securityContext.procMount to ${values}`];
};

const seLinuxTypes = ["", "container_t", "container_init_t", "container_kvm_t"];
const seLinux: Run = ({ spec }, minor) => {
  const types = [...seLinuxTypes, ...(minor >= 31 ? ["container_engine_t"] : [])];
  const { who, contexts } = setters(
    spec,
    ({ seLinuxOptions: { type = "", user, role } = {} }) => !types.includes(type) || !!user || !!role,
  );
  const options = contexts.map((c) => c.seLinuxOptions!);
  const bad = sorted(options.map(({ type = "" }) => type).filter((type) => !types.includes(type)));
  const data = [
    ...(bad.length > 0 ? [`${plural(bad.length, "type")} ${quoted(bad)}`] : []),
    ...(options.some(({ user }) => user) ? ["user may not be set"] : []),
    ...(options.some(({ role }) => role) ? ["role may not be set"] : []),
  ];
  if (who) return ["seLinuxOptions", `${who} set forbidden securityContext.seLinuxOptions: ${data.join("; ")}`];
};

const seccompBaseline: Run = ({ spec }) => {
  const allowed = [undefined, "RuntimeDefault", "Localhost"];
  const { who, contexts } = setters(spec, (c) => !allowed.includes(c.seccompProfile?.type));
  const values = quoted(sorted(contexts.map((c) => c.seccompProfile!.type)));
  if (who) return ["seccompProfile", `${who} must not set securityContext.seccompProfile.type to ${values}`];
};

const unsafeSysctls: Run = ({ spec }, minor) => {
  const allowed = new Set(sysctls.filter(([since]) => since <= minor).flatMap(([, names]) => names.split(" ")));
  const bad = (spec.securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !allowed.has(name));
  if (bad.length > 0) return ["forbidden sysctls", bad.join(", ")];
};

const hostProcess: Run = ({ spec }) => {
  const { who } = setters(spec, (c) => c.windowsOptions?.hostProcess === true);
  if (who) return ["hostProcess", `${who} must not set securityContext.windowsOptions.hostProcess=true`];
};

const escalation: Run = ({ spec }, minor) => {
  const names = namesOf(spec, (c) => c.securityContext?.allowPrivilegeEscalation !== false);
  if (names.length === 0 || isWindows(spec, minor)) return undefined;
  const text = `${some(names)} must set securityContext.allowPrivilegeEscalation=false`;
  return ["allowPrivilegeEscalation != false", text];
};

const capabilitiesRestricted: Run = ({ spec }, minor) => {
  const names = namesOf(spec, (c) => !c.securityContext?.capabilities?.drop?.includes("ALL"));
  const missing = names.length > 0 ? [`${some(names)} must set securityContext.capabilities.drop=["ALL"]`] : [];
  const details = [...missing, ...addText(spec, new Set(["NET_BIND_SERVICE"]))];
  if (details.length > 0 && !isWindows(spec, minor)) return ["unrestricted capabilities", details.join("; ")];
};

const restrictedVolumes: Run = ({ spec }) => {
  const typeOf = (volume: object) => Object.keys(volume).find((key) => !plainVolumes.has(key));
  const bad = (spec.volumes ?? []).filter((volume) => typeOf(volume) !== undefined);
  const types = sorted(bad.map((volume) => typeOf(volume)!));
  const who = `${plural(bad.length, "volume")} ${quoted(bad.map(({ name }) => name))}`;
  const what = `${plural(bad.length, "uses", "use")} ${plural(types.length, "restricted volume type")}`;
  if (bad.length > 0) return ["restricted volume types", `${who} ${what} ${quoted(types)}`];
};

const nonRoot: Run = ({ spec }) => {
  const { who } = setters(spec, (c) => c.runAsNonRoot === false);
  if (who) return ["runAsNonRoot != true", `${who} must not set securityContext.runAsNonRoot=false`];
  const names = namesOf(spec, (c) => c.securityContext?.runAsNonRoot === undefined);
  if (names.length === 0 || spec.securityContext?.runAsNonRoot) return undefined;
  return ["runAsNonRoot != true", `pod or ${some(names)} must set securityContext.runAsNonRoot=true`];
};

const nonRootUser: Run = ({ spec }) => {
  const { who } = setters(spec, (c) => c.runAsUser === 0);
  if (who) return ["runAsUser=0", `${who} must not set runAsUser=0`];
};

const seccompRestricted: Run = (pod, minor) => {
  const { spec } = pod;
  if (isWindows(spec, minor)) return undefined;
  const bad = seccompBaseline(pod, minor);
  if (bad !== undefined || spec.securityContext?.seccompProfile !== undefined) return bad;
  const names = namesOf(spec, (c) => c.securityContext?.seccompProfile === undefined);
  const text = `pod or ${some(names)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`;
  if (names.length > 0) return ["seccompProfile", text];
};

const checks: Check[] = [
  { level: "baseline", since: 0, run: appArmor },
  { level: "baseline", since: 0, run: capabilitiesBaseline, replacedBy: capabilitiesRestricted },
  { level: "baseline", since: 0, run: hostNamespaces },
  { level: "baseline", since: 0, run: hostPathVolumes, replacedBy: restrictedVolumes },
  { level: "baseline", since: 0, run: hostPorts },
  { level: "baseline", since: 34, run: probeHosts },
  { level: "baseline", since: 0, run: privileged },
  { level: "baseline", since: 0, run: procMount },
  { level: "baseline", since: 0, run: seLinux },
  { level: "baseline", since: 19, run: seccompBaseline, replacedBy: seccompRestricted },
  { level: "baseline", since: 0, run: unsafeSysctls },
  { level: "baseline", since: 0, run: hostProcess },
  { level: "restricted", since: 8, run: escalation },
  { level: "restricted", since: 22, run: capabilitiesRestricted },
  { level: "restricted", since: 0, run: restrictedVolumes },
  { level: "restricted", since: 0, run: nonRoot },
  { level: "restricted", since: 23, run: nonRootUser },
  { level: "restricted", since: 19, run: seccompRestricted },
];
