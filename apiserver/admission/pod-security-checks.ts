import type { Container, Pod, PodSpec, Probe } from "../../api/generated/core-v1.ts";

/**
 * The Pod Security Standards: each check says what a Pod does that its level forbids, in upstream's words
 * (k8s.io/pod-security-admission/policy). Those of one level stand in the order in which upstream names them.
 */
export type Level = "privileged" | "baseline" | "restricted";

interface Check {
  level: Exclude<Level, "privileged">;
  /** The minor version that brought it. */
  since: number;
  /** A check of the level above that says the same and more. */
  replacedBy?: string;
  id?: string;
  run(pod: Pick<Pod, "metadata" | "spec">, minor: number): [reason: string, detail: string] | undefined;
}

/** What a Pod violates of a level in a version; the newest is Infinity. */
export function violations(pod: Pick<Pod, "metadata" | "spec">, level: Level, minor: number): [string, string][] {
  if (level === "privileged") return [];
  const applies = (check: Check) => check.since <= minor && (check.level === "baseline" || level === "restricted");
  const present = new Set(checks.filter(applies).map(({ id }) => id));
  return checks
    .filter((check) => applies(check) && !(check.replacedBy && present.has(check.replacedBy)))
    .flatMap((check) => {
      const found = check.run(pod, minor);
      return found ? [found] : [];
    });
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

/** `pod and containers "a", "b"`, of those that set something bad in their security context. */
function setters<T>(
  spec: PodSpec,
  read: (context: NonNullable<Container["securityContext"]>) => T,
  bad: (value: T) => boolean,
) {
  const isBad = (context: unknown) => context !== undefined && bad(read(context as never));
  const values = [spec.securityContext, ...containersOf(spec).map((c) => c.securityContext)].filter(isBad);
  const names = namesOf(spec, (c) => isBad(c.securityContext));
  const who = [...(isBad(spec.securityContext) ? ["pod"] : []), ...(names.length > 0 ? [some(names)] : [])];
  return { who: who.join(" and "), values: values.map((context) => read(context as never)) };
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

const checks: Check[] = [
  {
    level: "baseline",
    since: 0,
    run({ metadata, spec }) {
      const allowed = (profile: string) =>
        profile === "" || profile === "runtime/default" || profile.startsWith("localhost/");
      const bad = Object.entries(metadata.annotations ?? {})
        .filter(([key, value]) => key.startsWith(appArmorPrefix) && !allowed(value))
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      const { who, values } = setters(
        spec,
        (c) => c.appArmorProfile?.type,
        (type) => type === "Unconfined",
      );
      if (who) bad.push(`${who} must not set AppArmor profile type to ${quoted(sorted(values as string[]))}`);
      if (bad.length > 0) return [plural(bad.length, "forbidden AppArmor profile"), bad.sort().join(", ")];
    },
  },
  {
    level: "baseline",
    since: 0,
    replacedBy: "capabilities_restricted",
    run({ spec }) {
      const [text] = addText(spec, defaultCapabilities);
      if (text) return ["non-default capabilities", text];
    },
  },
  {
    level: "baseline",
    since: 0,
    run({ spec }) {
      const set = (["hostNetwork", "hostPID", "hostIPC"] as const).filter((field) => spec[field]);
      if (set.length > 0) return ["host namespaces", set.map((field) => `${field}=true`).join(", ")];
    },
  },
  {
    level: "baseline",
    since: 0,
    replacedBy: "restrictedVolumes",
    run({ spec }) {
      const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath).map(({ name }) => name);
      if (names.length > 0) return ["hostPath volumes", `${plural(names.length, "volume")} ${quoted(names)}`];
    },
  },
  {
    level: "baseline",
    since: 0,
    run({ spec }) {
      const hostPorts = (c: Container) => (c.ports ?? []).flatMap(({ hostPort }) => (hostPort ? [hostPort] : []));
      const names = namesOf(spec, (c) => hostPorts(c).length > 0);
      const ports = sorted(containersOf(spec).flatMap(hostPorts).map(String));
      const text = `${some(names)} ${plural(names.length, "uses", "use")} ${plural(ports.length, "hostPort")} ${ports.join(", ")}`;
      if (names.length > 0) return ["hostPort", text];
    },
  },
  {
    level: "baseline",
    since: 34,
    run({ spec }) {
      const hosts = ({ livenessProbe, readinessProbe, startupProbe, lifecycle }: Container): string[] =>
        [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop].flatMap((handler) =>
          [(handler as Probe | undefined)?.httpGet?.host, (handler as Probe | undefined)?.tcpSocket?.host].filter(
            (h) => !!h,
          ),
        ) as string[];
      const names = sorted(namesOf(spec, (c) => hosts(c).length > 0));
      const found = sorted(containersOf(spec).flatMap(hosts));
      const what = "probe or lifecycle host";
      const text = `${some(names)} ${plural(names.length, "uses", "use")} ${plural(found.length, what)} ${quoted(found)}`;
      if (names.length > 0) return [what, text];
    },
  },
  {
    level: "baseline",
    since: 0,
    run({ spec }) {
      const names = namesOf(spec, (c) => c.securityContext?.privileged);
      if (names.length > 0) return ["privileged", `${some(names)} must not set securityContext.privileged=true`];
    },
  },
  {
    level: "baseline",
    since: 0,
    run({ spec }) {
      const bad = (c: Container) =>
        c.securityContext?.procMount !== undefined && c.securityContext.procMount !== "Default";
      const names = namesOf(spec, bad);
      const values = sorted(
        containersOf(spec)
          .filter(bad)
          .map((c) => c.securityContext!.procMount!),
      );
      if (names.length > 0)
        return ["procMount", `${some(names)} must not set securityContext.procMount to ${quoted(values)}`];
    },
  },
  {
    level: "baseline",
    since: 0,
    run({ spec }, minor) {
      const types = [
        "",
        "container_t",
        "container_init_t",
        "container_kvm_t",
        ...(minor >= 31 ? ["container_engine_t"] : []),
      ];
      const { who, values } = setters(
        spec,
        (c) => c.seLinuxOptions ?? {},
        ({ type = "", user, role }) => !types.includes(type) || !!user || !!role,
      );
      const bad = sorted(values.map(({ type = "" }) => type).filter((type) => !types.includes(type)));
      const data = [
        ...(bad.length > 0 ? [`${plural(bad.length, "type")} ${quoted(bad)}`] : []),
        ...(values.some(({ user }) => user) ? ["user may not be set"] : []),
        ...(values.some(({ role }) => role) ? ["role may not be set"] : []),
      ];
      if (who) return ["seLinuxOptions", `${who} set forbidden securityContext.seLinuxOptions: ${data.join("; ")}`];
    },
  },
  {
    level: "baseline",
    since: 19,
    replacedBy: "seccompProfile_restricted",
    run: ({ spec }) => badSeccomp(spec),
  },
  {
    level: "baseline",
    since: 0,
    run({ spec }, minor) {
      const allowed = new Set(sysctls.filter(([since]) => since <= minor).flatMap(([, names]) => names.split(" ")));
      const bad = (spec.securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !allowed.has(name));
      if (bad.length > 0) return ["forbidden sysctls", bad.join(", ")];
    },
  },
  {
    level: "baseline",
    since: 0,
    run({ spec }) {
      const { who } = setters(
        spec,
        (c) => c.windowsOptions?.hostProcess,
        (value) => value === true,
      );
      if (who) return ["hostProcess", `${who} must not set securityContext.windowsOptions.hostProcess=true`];
    },
  },
  {
    level: "restricted",
    since: 8,
    run({ spec }, minor) {
      const names = namesOf(spec, (c) => c.securityContext?.allowPrivilegeEscalation !== false);
      if (names.length === 0 || isWindows(spec, minor)) return undefined;
      return [
        "allowPrivilegeEscalation != false",
        `${some(names)} must set securityContext.allowPrivilegeEscalation=false`,
      ];
    },
  },
  {
    level: "restricted",
    since: 22,
    id: "capabilities_restricted",
    run({ spec }, minor) {
      const names = namesOf(spec, (c) => !c.securityContext?.capabilities?.drop?.includes("ALL"));
      const missing = names.length > 0 ? [`${some(names)} must set securityContext.capabilities.drop=["ALL"]`] : [];
      const details = [...missing, ...addText(spec, new Set(["NET_BIND_SERVICE"]))];
      if (details.length > 0 && !isWindows(spec, minor)) return ["unrestricted capabilities", details.join("; ")];
    },
  },
  {
    level: "restricted",
    since: 0,
    id: "restrictedVolumes",
    run({ spec }) {
      const typeOf = (volume: object) => Object.keys(volume).find((key) => !plainVolumes.has(key));
      const bad = (spec.volumes ?? []).filter((volume) => typeOf(volume) !== undefined);
      const types = sorted(bad.map((volume) => typeOf(volume)!));
      const text = `${plural(bad.length, "volume")} ${quoted(bad.map(({ name }) => name))} ${plural(bad.length, "uses", "use")} ${plural(types.length, "restricted volume type")} ${quoted(types)}`;
      if (bad.length > 0) return ["restricted volume types", text];
    },
  },
  {
    level: "restricted",
    since: 0,
    run({ spec }) {
      const { who } = setters(
        spec,
        (c) => c.runAsNonRoot,
        (value) => value === false,
      );
      if (who) return ["runAsNonRoot != true", `${who} must not set securityContext.runAsNonRoot=false`];
      const names = namesOf(spec, (c) => c.securityContext?.runAsNonRoot === undefined);
      if (names.length === 0 || spec.securityContext?.runAsNonRoot) return undefined;
      return ["runAsNonRoot != true", `pod or ${some(names)} must set securityContext.runAsNonRoot=true`];
    },
  },
  {
    level: "restricted",
    since: 23,
    run({ spec }) {
      const { who } = setters(
        spec,
        (c) => c.runAsUser,
        (value) => value === 0,
      );
      if (who) return ["runAsUser=0", `${who} must not set runAsUser=0`];
    },
  },
  {
    level: "restricted",
    since: 19,
    id: "seccompProfile_restricted",
    run({ spec }, minor) {
      if (isWindows(spec, minor)) return undefined;
      const bad = badSeccomp(spec);
      if (bad !== undefined || spec.securityContext?.seccompProfile !== undefined) return bad;
      const names = namesOf(spec, (c) => c.securityContext?.seccompProfile === undefined);
      const text = `pod or ${some(names)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`;
      if (names.length > 0) return ["seccompProfile", text];
    },
  },
];

function badSeccomp(spec: PodSpec): [string, string] | undefined {
  const { who, values } = setters(
    spec,
    (c) => c.seccompProfile?.type,
    (type) => type !== undefined && type !== "RuntimeDefault" && type !== "Localhost",
  );
  return who
    ? [
        "seccompProfile",
        `${who} must not set securityContext.seccompProfile.type to ${quoted(sorted(values as string[]))}`,
      ]
    : undefined;
}
