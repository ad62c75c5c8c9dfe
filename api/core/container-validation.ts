import * as field from "../../apimachinery/field-error.ts";
import {
  configMapKey,
  dns1123Label,
  dns1123Subdomain,
  envVarName,
  portName,
  portNumber,
} from "../../apimachinery/names.ts";
import { compareQuantities } from "../../apimachinery/quantity.ts";
import type * as v1 from "../generated/core-v1.ts";
import { notNegative } from "../kind.ts";
import { podResources } from "./pod-resources.ts";
import { validateContainerSecurity } from "./pod-security.ts";
import {
  isOvercommitAllowed,
  validateAmount,
  validateContainerResource,
  validateHugePages,
  validatePodResource,
} from "./resource-names.ts";
import { envFields, relativePath, validateFieldRef, validateResourceField } from "./volume-sources.ts";

const onlySidecars = "may not be set for init containers without restartPolicy=Always";

/** The rules of a Pod's containers, in upstream's order (validateContainers, validateInitContainers). */
export function* validateContainers(spec: v1.PodSpec, path: string): field.Problems {
  const names = new Set<string>();
  const volumes = new Map(spec.volumes?.map((volume) => [volume.name, volume]));
  function* common(container: v1.Container, at: string): field.Problems {
    yield* field.requiredName(`${at}.name`, container.name, dns1123Label);
    yield* validateCommon(container, spec, volumes, at);
  }
  const again = ({ name }: v1.Container, at: string) =>
    name && names.size === names.add(name).size ? [field.duplicate(`${at}.name`, name)] : [];
  const { containers = [], initContainers = [] } = spec;
  if (containers.length === 0) yield field.required(`${path}.containers`);
  yield* field.each(containers, `${path}.containers`, function* (container, at) {
    yield* common(container, at);
    yield* again(container, at);
    yield* validateRunning(container, spec, at);
    if (container.restartPolicy) yield field.forbidden(`${at}.restartPolicy`, "may not be set for non-init containers");
  });
  yield* validateHostPorts(containers, `${path}.containers`);
  yield* field.each(initContainers, `${path}.initContainers`, function* (container, at) {
    yield* common(container, at);
    const { restartPolicy } = container;
    if (restartPolicy) yield* field.oneOf(`${at}.restartPolicy`, restartPolicy, ["Always"], false);
    yield* again(container, at);
    yield* validateHostPorts([container], `${path}.initContainers`); // one after the other; upstream says [0] of each
    if (restartPolicy === "Always") return yield* validateRunning(container, spec, at);
    for (const name of ["lifecycle", ...probes] as const)
      if (container[name]) yield field.forbidden(`${at}.${name}`, onlySidecars);
  });
  yield* field.each(spec.ephemeralContainers, `${path}.ephemeralContainers`, function* (container, at) {
    yield* common(container, at);
    yield* again(container, at);
  });
  yield* validatePodResources(spec, `${path}.resources`);
  // A template may leave the host's ports to the Pods that are made from it.
  for (const [i, { ports = [] }] of spec.hostNetwork ? containers.entries() : [])
    for (const [j, { hostPort = 0, containerPort }] of ports.entries())
      if (hostPort !== containerPort && (hostPort || path === "spec"))
        yield field.invalid(`${path}.containers[${i}].ports[${j}].hostPort`, hostPort, mustMatchPort);
}

const mustMatchPort = "must match `containerPort` when `hostNetwork` is true";

/** What upstream asks of Pods only: templates had been taken that break it. */
export function* validateImages(spec: v1.PodSpec): field.Problems {
  const text = "must not have leading or trailing whitespace";
  for (const list of ["containers", "initContainers"] as const)
    for (const [i, { image = "" }] of (spec[list] ?? []).entries())
      if (image !== image.trim()) yield field.invalid(`spec.${list}[${i}].image`, image, text);
}

type Volumes = ReadonlyMap<string, v1.Volume>;

function* validateCommon(container: v1.Container, spec: v1.PodSpec, volumes: Volumes, at: string): field.Problems {
  if (!container.image) yield field.required(`${at}.image`);
  const { terminationMessagePolicy: messages } = container;
  yield* field.oneOf(`${at}.terminationMessagePolicy`, messages, ["File", "FallbackToLogsOnError"], true);
  yield* validatePorts(container.ports, `${at}.ports`);
  yield* field.each(container.env, `${at}.env`, validateEnv);
  yield* field.each(container.envFrom, `${at}.envFrom`, function* ({ prefix, configMapRef, secretRef }, path) {
    if (prefix) yield* field.shaped(`${path}.prefix`, prefix, envVarName);
    const given = Object.entries({ configMapRef, secretRef }).filter(([, ref]) => ref);
    for (const [key, ref] of given) yield* field.requiredName(`${path}.${key}.name`, ref!.name, dns1123Subdomain);
    // Upstream leaves the index out.
    if (given.length === 0)
      yield field.invalid(`${at}.envFrom`, "", "must specify one of: `configMapRef` or `secretRef`");
    else if (given.length > 1) yield field.invalid(`${at}.envFrom`, "", onlyOne);
  });
  yield* validateMounts(container, volumes, at);
  yield* validateDevices(container, volumes, `${at}.volumeDevices`);
  yield* field.oneOf(`${at}.imagePullPolicy`, container.imagePullPolicy, ["Always", "IfNotPresent", "Never"], true);
  yield* validateResources(container.resources, `${at}.resources`, spec.resourceClaims);
  yield* validateResizePolicy(container, spec, `${at}.resizePolicy`);
  yield* validateContainerSecurity(container, spec, `${at}.securityContext`);
}

function* validatePorts(ports: v1.ContainerPort[] = [], path: string): field.Problems {
  const names = new Set<string>();
  yield* field.each(ports, path, function* ({ name, containerPort, hostPort, protocol }, at) {
    const problems = name ? portName(name) : [];
    yield* problems.map((p) => field.invalid(`${at}.name`, name, p));
    if (name && problems.length === 0 && names.size === names.add(name).size) yield field.duplicate(`${at}.name`, name);
    yield* field.requiredName(`${at}.containerPort`, containerPort, portNumber);
    if (hostPort) yield* field.shaped(`${at}.hostPort`, hostPort, portNumber);
    yield* field.oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true);
  });
}

function* validateHostPorts(containers: v1.Container[], path: string): field.Problems {
  const taken = new Set<string>();
  for (const [i, { ports = [] }] of containers.entries())
    for (const [j, { hostPort, hostIP = "", protocol }] of ports.entries()) {
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (hostPort && taken.size === taken.add(key).size)
        yield field.duplicate(`${path}[${i}].ports[${j}].hostPort`, key);
    }
}

const onlyOne = "may not have more than one field specified at a time";
const oneSource =
  "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";

function* validateEnv({ name, value, valueFrom }: v1.EnvVar, at: string): field.Problems {
  yield* field.requiredName(`${at}.name`, name, envVarName);
  if (!valueFrom) return;
  const from = `${at}.valueFrom`;
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  if (fieldRef) yield* validateFieldRef(fieldRef, `${from}.fieldRef`, envFields);
  if (resourceFieldRef) yield* validateResourceField(resourceFieldRef, `${from}.resourceFieldRef`, false);
  for (const [key, ref] of Object.entries({ configMapKeyRef, secretKeyRef })) {
    if (!ref) continue;
    yield* field.shaped(`${from}.${key}.name`, ref.name ?? "", dns1123Subdomain);
    yield* field.requiredName(`${from}.${key}.key`, ref.key, configMapKey);
  }
  const count = Object.values(valueFrom).filter((source) => source !== undefined).length;
  if (count === 0) yield field.invalid(from, "", oneSource);
  else if (value) yield field.invalid(from, "", "may not be specified when `value` is not empty");
  else if (count > 1) yield field.invalid(from, "", onlyOne);
}

/** Upstream leaves the index out of some paths. */
function* validateMounts(container: v1.Container, volumes: Volumes, at: string): field.Problems {
  const { volumeMounts: mounts = [], volumeDevices = [], securityContext } = container;
  const paths = new Set<string>();
  const devices = new Map(volumeDevices.map(({ name, devicePath }) => [name, devicePath]));
  const all = `${at}.volumeMounts`;
  yield* field.each(mounts, all, function* ({ name = "", mountPath = "", ...mount }, p) {
    if (!name) yield field.required(`${p}.name`);
    if (!volumes.has(name)) yield field.notFound(`${p}.name`, name);
    if (!mountPath) yield field.required(`${p}.mountPath`);
    if (paths.size === paths.add(mountPath).size) yield field.invalid(`${p}.mountPath`, mountPath, "must be unique");
    if (devices.has(name)) yield field.invalid(`${p}.name`, name, "must not already exist in volumeDevices");
    if ([...devices.values()].includes(mountPath))
      yield field.invalid(`${p}.mountPath`, mountPath, "must not already exist as a path in volumeDevices");
    yield* relativePath(mount.subPath, `${all}.subPath`);
    if (mount.subPath && mount.subPathExpr)
      yield field.invalid(`${p}.subPathExpr`, mount.subPathExpr, "subPathExpr and subPath are mutually exclusive");
    yield* relativePath(mount.subPathExpr, `${all}.subPathExpr`);
    const { mountPropagation: propagation } = mount;
    if (propagation !== undefined)
      yield* field.oneOf(`${all}.mountPropagation`, propagation, ["Bidirectional", "HostToContainer", "None"], false);
    if (propagation === "Bidirectional" && !securityContext?.privileged) {
      const text = "Bidirectional mount propagation is available only to privileged containers";
      yield field.forbidden(`${all}.mountPropagation`, text);
    }
  });
}

const onlyClaims = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";

/** Block devices are claims, with names and paths that no mount has. */
function* validateDevices(container: v1.Container, volumes: Volumes, path: string): field.Problems {
  const [names, paths] = [new Set<string>(), new Set<string>()];
  const mounts = new Map(container.volumeMounts?.map(({ name, mountPath }) => [name, mountPath]));
  yield* field.each(container.volumeDevices, path, function* ({ name = "", devicePath = "" }, at) {
    const wrongName = (text: string) => field.invalid(`${at}.name`, name, text);
    const wrongPath = (text: string) => field.invalid(`${at}.devicePath`, devicePath, text);
    const volume = volumes.get(name);
    if (!name) yield field.required(`${at}.name`);
    else if (names.size === names.add(name).size) yield wrongName("must be unique");
    if (!volume) yield field.notFound(`${at}.name`, name);
    else if (!volume.persistentVolumeClaim && !volume.ephemeral) yield wrongName(onlyClaims);
    if (!devicePath) yield field.required(`${at}.devicePath`);
    if (devicePath.split("/").includes("..")) yield wrongPath("can not contain backsteps ('..')");
    else if (paths.size === paths.add(devicePath).size) yield wrongPath("must be unique");
    if (mounts.has(name)) yield wrongName("must not already exist in volumeMounts");
    if ([...mounts.values()].includes(devicePath)) yield wrongPath("must not already exist as a path in volumeMounts");
  });
}

/** Upstream leaves the index out of most paths. */
function* validateResizePolicy({ resizePolicy = [] }: v1.Container, spec: v1.PodSpec, at: string): field.Problems {
  const names = new Set<string>();
  for (const [i, { resourceName = "", restartPolicy: policy = "" as string }] of resizePolicy.entries()) {
    if (names.size === names.add(resourceName).size) yield field.duplicate(`${at}[${i}]`, resourceName);
    yield* field.oneOf(at, resourceName, ["cpu", "memory"], true);
    yield* field.oneOf(at, policy, ["NotRequired", "RestartContainer"], true);
    if (spec.restartPolicy === "Never" && policy !== "NotRequired")
      yield field.invalid(at, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
  }
}

/** `all` are the claims of the Pod. */
export function* validateResources(
  { limits = {}, requests = {}, claims }: v1.ResourceRequirements = {},
  path: string,
  all: readonly v1.PodResourceClaim[] = [],
  nameRule = validateContainerResource,
): field.Problems {
  for (const [kind, amounts] of Object.entries({ limits, requests }))
    for (const [name, quantity] of Object.entries(amounts)) {
      const at = `${path}.${kind}[${name}]`;
      yield* nameRule(name, at);
      yield* validateAmount(name, quantity, at);
      yield* validateHugePages(name, quantity, at);
    }
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    const wrong = (text: string) =>
      field.invalid(`${path}.requests`, request, `must be ${text} ${name} limit of ${limit}`);
    if (limit === undefined) {
      if (!isOvercommitAllowed(name))
        yield field.required(`${path}.limits`, "Limit must be set for non overcommitable resources");
    } else if (!isOvercommitAllowed(name)) {
      if (compareQuantities(request, limit) !== 0) yield wrong("equal to");
    } else if (compareQuantities(request, limit) > 0) yield wrong("less than or equal to");
  }
  const names = Object.keys({ ...limits, ...requests });
  if (names.some((name) => name.startsWith("hugepages-")) && !names.includes("cpu") && !names.includes("memory"))
    yield field.forbidden(path, "HugePages require cpu or memory");
  const seen = new Set<string>(); // a claim as a whole, or some of its requests
  const known = all.flatMap(({ name }) => name || []).sort();
  const there = known.length > 0 ? `: ${known.join(", ")}` : " which is empty";
  yield* field.each(claims, `${path}.claims`, function* ({ name, request }, at) {
    if (!name) return yield field.required(at);
    const key = request ? `${name}/${request}` : name;
    if (request && !seen.has(name)) yield* field.shaped(`${at}.request`, request, dns1123Label);
    if (seen.has(name)) yield field.duplicate(at, name);
    else if (seen.has(key)) yield field.duplicate(at, key);
    else if (!request) for (const one of seen) if (one.startsWith(`${name}/`)) yield field.duplicate(at, name);
    if (!seen.has(name)) seen.add(key);
    if (!known.includes(name)) yield field.notFound(at, name, `${oneOfClaims}${there}`);
  });
}

const oneOfClaims = "must be one of the names in pod.spec.resourceClaims";

/** What the Pod as a whole asks for and may use (KEP-2837). */
export function* validatePodResources({ resources, overhead: _, ...spec }: v1.PodSpec, at: string): field.Problems {
  if (!resources) return;
  if (spec.os?.name === "windows") return yield field.forbidden(at, "may not be set for a windows pod");
  if (resources.claims) yield field.forbidden(`${at}.claims`, "claims cannot be set for Resources at pod-level");
  yield* validateResources(resources, at, [], validatePodResource);
  const isMore = (amount: string, than: string | undefined): than is string =>
    than !== undefined && compareQuantities(amount, than) > 0;
  for (const kind of ["requests", "limits"] as const)
    for (const [name, sum] of Object.entries(podResources(spec, kind))) {
      const own = kind === "requests" || name.startsWith("hugepages-") ? resources[kind]?.[name] : undefined;
      const text = `must be greater than or equal to aggregate container ${kind} of ${sum}`;
      if (isMore(sum, own)) yield field.invalid(`${at}.${kind}[${name}]`, own, text);
    }
  for (const [i, container] of spec.containers.entries())
    for (const [name, limit] of Object.entries(container.resources?.limits ?? {})) {
      const [own, path] = [resources.limits?.[name], `${at}.containers[${i}][${name}].limits`];
      if (isMore(limit, own)) yield field.invalid(path, limit, `must be less than or equal to pod limits of ${own}`);
    }
}

const probes = ["livenessProbe", "readinessProbe", "startupProbe"] as const;

/** Of what keeps running: hooks and probes. */
function* validateRunning(container: v1.Container, spec: v1.PodSpec, at: string): field.Problems {
  for (const hook of ["postStart", "preStop"] as const) {
    const handler = container.lifecycle?.[hook];
    if (handler) yield* validateHandler(handler, spec.terminationGracePeriodSeconds ?? 0, `${at}.lifecycle.${hook}`);
  }
  for (const kind of probes) if (container[kind]) yield* validateProbe(container[kind], kind, `${at}.${kind}`);
}

const probeNumbers = [
  ...(["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] as const),
];

function* validateProbe(probe: v1.Probe, kind: string, at: string): field.Problems {
  yield* validateHandler(probe, 0, at);
  for (const name of probeNumbers) yield* notNegative(probe[name], `${at}.${name}`);
  const { terminationGracePeriodSeconds: grace, successThreshold = 0 } = probe;
  const path = `${at}.terminationGracePeriodSeconds`;
  if (grace !== undefined && grace <= 0) yield field.invalid(path, grace, "must be greater than 0");
  if (kind !== "readinessProbe") {
    if (successThreshold !== 1) yield field.invalid(`${at}.successThreshold`, successThreshold, "must be 1");
  } else if (grace !== undefined) yield field.invalid(path, grace, "must not be set for readinessProbes");
}

/** Of several the first counts. */
function* validateHandler(handler: v1.ProbeHandler & v1.LifecycleHandler, grace: number, at: string): field.Problems {
  const [kind, ...others] = (["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const).filter((k) => handler[k]);
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  if (!kind) return yield field.required(at, "must specify a handler type");
  if (kind === "exec" && !exec?.command?.length) yield field.required(`${at}.exec.command`);
  if (kind === "httpGet") {
    if (!httpGet?.path) yield field.required(`${at}.httpGet.path`);
    yield* validateTargetPort(httpGet?.port, `${at}.httpGet.port`);
    yield* field.oneOf(`${at}.httpGet.scheme`, httpGet?.scheme, ["HTTP", "HTTPS"], false);
  }
  if (kind === "tcpSocket") yield* validateTargetPort(tcpSocket?.port, `${at}.tcpSocket.port`);
  if (kind === "grpc") yield* field.shaped(`${at}.grpc.port`, grpc?.port ?? 0, portNumber);
  const seconds = sleep?.seconds ?? 0;
  if (kind === "sleep" && (seconds < 0 || seconds > grace)) {
    const text = `must be non-negative and less than terminationGracePeriodSeconds (${grace})`;
    yield field.invalid(`${at}.sleep`, seconds, text);
  }
  yield* others.map((other) => field.forbidden(`${at}.${other}`, "may not specify more than 1 handler type"));
}

/** A number, or the name of a container's port. */
export function* validateTargetPort(port: number | string | undefined, at: string): field.Problems {
  const problems = typeof port === "string" ? portName(port) : portNumber(port ?? 0);
  yield* problems.map((p) => field.invalid(at, port ?? 0, p));
}
