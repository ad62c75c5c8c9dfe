import * as field from "../../apimachinery/field-error.ts";
import { configMapKey, dns1123Label, envVarName, portName, portNumber } from "../../apimachinery/names.ts";
import { compareQuantities } from "../../apimachinery/quantity.ts";
import type * as v1 from "../generated/core-v1.ts";
import { notNegative } from "../int-or-percent.ts";
import { validateContainerSecurity } from "./pod-rules.ts";
import { isOvercommitAllowed, validateAmount, validateContainerResource, validateHugePages } from "./resource-names.ts";
import { relativePath } from "./volume-sources.ts";

/** The rules of a Pod's containers: upstream's validateContainers and validateInitContainers. */
export function* validateContainers(spec: v1.PodSpec, volumes: ReadonlySet<string>, path: string): field.Problems {
  const names = new Set<string>();
  if (!spec.containers?.length) yield field.required(`${path}.containers`);
  for (const [list, containers] of [
    ["containers", spec.containers ?? []],
    ["initContainers", spec.initContainers ?? []],
    ["ephemeralContainers", spec.ephemeralContainers ?? []],
  ] as const)
    for (const [i, container] of containers.entries()) {
      const at = `${path}.${list}[${i}]`;
      yield* field.uniqueName(`${at}.name`, container.name, dns1123Label, names);
      yield* validateContainer(container, volumes, at);
      if (list === "containers") yield* validateMain(container, at);
      if (list === "initContainers") yield* validateInit(container, at);
    }
  yield* validateHostPorts(spec, `${path}.containers`);
}

function* validateMain(container: v1.Container, at: string): field.Problems {
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"] as const)
    yield* validateProbe(container[name], `${at}.${name}`);
  for (const name of ["livenessProbe", "startupProbe"] as const) {
    const { successThreshold = 0 } = container[name] ?? { successThreshold: 1 };
    if (successThreshold !== 1) yield field.invalid(`${at}.${name}.successThreshold`, successThreshold, "must be 1");
  }
}

function* validateInit(container: v1.Container, at: string): field.Problems {
  if (container.restartPolicy === "Always") return yield* validateMain(container, at);
  yield* (["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const)
    .filter((name) => container[name])
    .map((name) => field.forbidden(`${at}.${name}`, "may not be set for init containers without restartPolicy=Always"));
}

function* validateContainer(container: v1.Container, volumes: ReadonlySet<string>, at: string): field.Problems {
  const image = container.image ?? "";
  if (!image) yield field.required(`${at}.image`);
  else if (image !== image.trim())
    yield field.invalid(`${at}.image`, image, "must not have leading or trailing whitespace");
  yield* field.oneOf(`${at}.imagePullPolicy`, container.imagePullPolicy, ["Always", "IfNotPresent", "Never"], true);
  const { terminationMessagePolicy: messages } = container;
  yield* field.oneOf(`${at}.terminationMessagePolicy`, messages, ["FallbackToLogsOnError", "File"], true);
  yield* validatePorts(container.ports ?? [], `${at}.ports`);
  yield* validateEnv(container.env ?? [], `${at}.env`);
  for (const [i, source] of (container.envFrom ?? []).entries()) {
    const p = `${at}.envFrom[${i}]`;
    if (!source.configMapRef && !source.secretRef)
      yield field.invalid(p, "", "must specify one of: `configMapRef` or `secretRef`");
    for (const ref of ["configMapRef", "secretRef"] as const)
      if (source[ref] && !source[ref].name) yield field.required(`${p}.${ref}.name`);
  }
  const mounts = new Set<string>();
  for (const [i, { name, mountPath, subPath }] of (container.volumeMounts ?? []).entries()) {
    const p = `${at}.volumeMounts[${i}]`;
    if (!name) yield field.required(`${p}.name`);
    else if (!volumes.has(name)) yield field.notFound(`${p}.name`, name);
    if (!mountPath) yield field.required(`${p}.mountPath`);
    else if (mounts.has(mountPath)) yield field.invalid(`${p}.mountPath`, mountPath, "must be unique");
    mounts.add(mountPath);
    yield* relativePath(subPath, `${p}.subPath`);
  }
  for (const hook of ["postStart", "preStop"] as const) {
    const handler = container.lifecycle?.[hook];
    if (handler) yield* validateHandler(handler, `${at}.lifecycle.${hook}`);
  }
  yield* validateResources(container.resources, `${at}.resources`);
  yield* validateContainerSecurity(container, `${at}.securityContext`);
}

function* validatePorts(ports: v1.ContainerPort[], path: string): field.Problems {
  const names = new Set<string>();
  for (const [i, { name, containerPort, hostPort, protocol }] of ports.entries()) {
    const at = `${path}[${i}]`;
    if (name) {
      const problems = portName(name);
      for (const p of problems) yield field.invalid(`${at}.name`, name, p);
      if (problems.length === 0 && names.has(name)) yield field.duplicate(`${at}.name`, name);
      names.add(name);
    }
    yield* field.requiredName(`${at}.containerPort`, containerPort, portNumber);
    if (hostPort) yield* field.shaped(`${at}.hostPort`, hostPort, portNumber);
    yield* field.oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true);
  }
}

const mustMatchHostPort = "must match `hostPort` when `hostNetwork` is true";

function* validateHostPorts(spec: v1.PodSpec, path: string): field.Problems {
  const taken = new Set<string>();
  for (const [i, { ports = [] }] of (spec.containers ?? []).entries())
    for (const [j, { hostPort, hostIP = "", protocol, containerPort }] of ports.entries()) {
      const at = `${path}[${i}].ports[${j}]`;
      if (spec.hostNetwork && hostPort !== containerPort)
        yield field.invalid(`${at}.containerPort`, containerPort, mustMatchHostPort);
      if (!hostPort) continue;
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (taken.has(key)) yield field.duplicate(`${at}.hostPort`, key);
      taken.add(key);
    }
}

const oneSource =
  "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";

function* validateEnv(vars: v1.EnvVar[], path: string): field.Problems {
  for (const [i, { name, value, valueFrom }] of vars.entries()) {
    const at = `${path}[${i}]`;
    yield* field.requiredName(`${at}.name`, name, envVarName);
    if (!valueFrom) continue;
    const from = `${at}.valueFrom`;
    const sources = Object.values(valueFrom).filter((s) => s !== undefined).length;
    if (sources === 0) yield field.invalid(from, "", oneSource);
    else if (value) yield field.invalid(from, "", "may not be specified when `value` is not empty");
    if (sources > 1) yield field.invalid(from, "", "may not have more than one field specified at a time");
    if (valueFrom.fieldRef && !valueFrom.fieldRef.fieldPath) yield field.required(`${from}.fieldRef.fieldPath`);
    else if (valueFrom.fieldRef && !fieldPath.test(valueFrom.fieldRef.fieldPath))
      yield field.notSupported(`${from}.fieldRef.fieldPath`, valueFrom.fieldRef.fieldPath, fieldPaths);
    if (valueFrom.resourceFieldRef && !valueFrom.resourceFieldRef.resource)
      yield field.required(`${from}.resourceFieldRef.resource`);
    for (const ref of ["configMapKeyRef", "secretKeyRef"] as const) {
      const { name: object, key } = valueFrom[ref] ?? { name: "-", key: "-" };
      if (!object) yield field.required(`${from}.${ref}.name`);
      yield* field.requiredName(`${from}.${ref}.key`, key, configMapKey);
    }
  }
}

const fieldPaths = [
  ...["metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName"],
  ...["status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"],
];
const fieldPath = new RegExp(
  `^(${fieldPaths.map((p) => p.replace(".", "\\.")).join("|")}|metadata\\.(labels|annotations)\\['.+'\\])$`,
);

export function* validateResources(
  { limits = {}, requests = {} }: v1.ResourceRequirements = {},
  path: string,
): field.Problems {
  for (const [kind, amounts] of Object.entries({ limits, requests }))
    for (const [name, quantity] of Object.entries(amounts)) {
      const at = `${path}.${kind}[${name}]`;
      yield* validateContainerResource(name, at);
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
}

const probeNumbers = [
  ...(["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] as const),
];

function* validateProbe(probe: v1.Probe | undefined, at: string): field.Problems {
  if (!probe) return;
  yield* validateHandler(probe, at);
  for (const name of probeNumbers) yield* notNegative(probe[name], `${at}.${name}`);
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0)
    yield field.invalid(`${at}.terminationGracePeriodSeconds`, grace, "must be greater than 0");
}

function* validateHandler(handler: v1.ProbeHandler & { sleep?: { seconds: number } }, at: string): field.Problems {
  const kinds = (["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const).filter((k) => handler[k]);
  if (kinds.length === 0) yield field.required(at, "must specify a handler type");
  for (const extra of kinds.slice(1))
    yield field.forbidden(`${at}.${extra}`, "may not specify more than 1 handler type");
  if (handler.exec && !handler.exec.command?.length) yield field.required(`${at}.exec.command`);
  if (handler.httpGet) {
    if (!handler.httpGet.path) yield field.required(`${at}.httpGet.path`);
    yield* field.oneOf(`${at}.httpGet.scheme`, handler.httpGet.scheme, ["HTTP", "HTTPS"], false);
    yield* validateTargetPort(handler.httpGet.port, `${at}.httpGet.port`);
  }
  if (handler.tcpSocket) yield* validateTargetPort(handler.tcpSocket.port, `${at}.tcpSocket.port`);
  if (handler.grpc) yield* field.shaped(`${at}.grpc.port`, handler.grpc.port, portNumber);
}

/** A number, or the name of a container's port. */
export function* validateTargetPort(port: number | string | undefined, at: string): field.Problems {
  const problems = typeof port === "string" ? portName(port) : portNumber(port ?? 0);
  yield* problems.map((p) => field.invalid(at, port ?? 0, p));
}
