import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalidValue,
  notFoundValue,
  notSupported,
  required,
} from "../../apimachinery/field-error.ts";
import {
  configMapKey,
  dns1123Label,
  envVarName,
  portName,
  portNumber,
  qualifiedName,
} from "../../apimachinery/names.ts";
import { compareQuantities, parseQuantity } from "../../apimachinery/quantity.ts";
import type {
  Container,
  ContainerPort,
  EnvVar,
  PodSpec,
  Probe,
  ProbeHandler,
  ResourceRequirements,
} from "../generated/core-v1.ts";
import { relativePath, validateContainerSecurity } from "./pod-rules.ts";

/** The rules of a Pod's containers: upstream's validateContainers and validateInitContainers. */
export function validateContainers(spec: PodSpec, volumes: ReadonlySet<string>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  if (!spec.containers?.length) errors.push(required(`${path}.containers`));
  for (const [list, containers] of [
    ["containers", spec.containers ?? []],
    ["initContainers", spec.initContainers ?? []],
    ["ephemeralContainers", spec.ephemeralContainers ?? []],
  ] as const)
    for (const [i, container] of containers.entries()) {
      const at = `${path}.${list}[${i}]`;
      errors.push(...validateName(container.name, names, at));
      errors.push(...validateContainer(container, volumes, at));
      if (list === "containers") errors.push(...validateMain(container, at));
      if (list === "initContainers") errors.push(...validateInit(container, at));
    }
  errors.push(...validateHostPorts(spec, `${path}.containers`));
  return errors;
}

function validateName(name: string, names: Set<string>, at: string): FieldError[] {
  if (!name) return [required(`${at}.name`)];
  const errors = dns1123Label(name).map((p) => invalidValue(`${at}.name`, name, p));
  if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
  names.add(name);
  return errors;
}

function validateMain(container: Container, at: string): FieldError[] {
  const { livenessProbe, startupProbe } = container;
  return [
    ...(["livenessProbe", "readinessProbe", "startupProbe"] as const).flatMap((name) =>
      validateProbe(container[name], `${at}.${name}`),
    ),
    ...(
      [
        ["livenessProbe", livenessProbe],
        ["startupProbe", startupProbe],
      ] as const
    ).flatMap(([name, probe]) =>
      probe && probe.successThreshold !== 1
        ? [invalidValue(`${at}.${name}.successThreshold`, probe.successThreshold ?? 0, "must be 1")]
        : [],
    ),
  ];
}

function validateInit(container: Container, at: string): FieldError[] {
  if (container.restartPolicy === "Always") return validateMain(container, at);
  return (["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] as const)
    .filter((name) => container[name])
    .map((name) => forbiddenField(`${at}.${name}`, "may not be set for init containers without restartPolicy=Always"));
}

function validateContainer(container: Container, volumes: ReadonlySet<string>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const image = container.image ?? "";
  if (!image) errors.push(required(`${at}.image`));
  else if (image !== image.trim())
    errors.push(invalidValue(`${at}.image`, image, "must not have leading or trailing whitespace"));
  errors.push(...oneOf(`${at}.imagePullPolicy`, container.imagePullPolicy, ["Always", "IfNotPresent", "Never"], true));
  errors.push(
    ...oneOf(
      `${at}.terminationMessagePolicy`,
      container.terminationMessagePolicy,
      ["FallbackToLogsOnError", "File"],
      true,
    ),
  );
  errors.push(...validatePorts(container.ports ?? [], `${at}.ports`));
  errors.push(...validateEnv(container.env ?? [], `${at}.env`));
  for (const [i, source] of (container.envFrom ?? []).entries()) {
    const p = `${at}.envFrom[${i}]`;
    if (!source.configMapRef && !source.secretRef)
      errors.push(invalidValue(p, "", "must specify one of: `configMapRef` or `secretRef`"));
    for (const ref of ["configMapRef", "secretRef"] as const)
      if (source[ref] && !source[ref].name) errors.push(required(`${p}.${ref}.name`));
  }
  const mounts = new Set<string>();
  for (const [i, { name, mountPath, subPath }] of (container.volumeMounts ?? []).entries()) {
    const p = `${at}.volumeMounts[${i}]`;
    if (!name) errors.push(required(`${p}.name`));
    else if (!volumes.has(name)) errors.push(notFoundValue(`${p}.name`, name));
    if (!mountPath) errors.push(required(`${p}.mountPath`));
    else if (mounts.has(mountPath)) errors.push(invalidValue(`${p}.mountPath`, mountPath, "must be unique"));
    mounts.add(mountPath);
    errors.push(...relativePath(subPath, `${p}.subPath`));
  }
  for (const hook of ["postStart", "preStop"] as const) {
    const handler = container.lifecycle?.[hook];
    if (handler) errors.push(...validateHandler(handler, `${at}.lifecycle.${hook}`));
  }
  errors.push(
    ...validateResources(container.resources, `${at}.resources`),
    ...validateContainerSecurity(container, `${at}.securityContext`),
  );
  return errors;
}

function validatePorts(ports: ContainerPort[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, { name, containerPort, hostPort, protocol }] of ports.entries()) {
    const at = `${path}[${i}]`;
    if (name) {
      const problems = portName(name);
      for (const p of problems) errors.push(invalidValue(`${at}.name`, name, p));
      if (problems.length === 0 && names.has(name)) errors.push(duplicate(`${at}.name`, name));
      names.add(name);
    }
    if (!containerPort) errors.push(required(`${at}.containerPort`));
    else for (const p of portNumber(containerPort)) errors.push(invalidValue(`${at}.containerPort`, containerPort, p));
    if (hostPort) for (const p of portNumber(hostPort)) errors.push(invalidValue(`${at}.hostPort`, hostPort, p));
    errors.push(...oneOf(`${at}.protocol`, protocol, ["SCTP", "TCP", "UDP"], true));
  }
  return errors;
}

function validateHostPorts(spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const taken = new Set<string>();
  for (const [i, { ports = [] }] of (spec.containers ?? []).entries())
    for (const [j, { hostPort, hostIP = "", protocol, containerPort }] of ports.entries()) {
      const at = `${path}[${i}].ports[${j}]`;
      if (spec.hostNetwork && hostPort !== containerPort)
        errors.push(
          invalidValue(`${at}.containerPort`, containerPort, "must match `hostPort` when `hostNetwork` is true"),
        );
      if (!hostPort) continue;
      const key = `${protocol}/${hostIP}/${hostPort}`;
      if (taken.has(key)) errors.push(duplicate(`${at}.hostPort`, key));
      taken.add(key);
    }
  return errors;
}

function validateEnv(vars: EnvVar[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, { name, value, valueFrom }] of vars.entries()) {
    const at = `${path}[${i}]`;
    if (!name) errors.push(required(`${at}.name`));
    else for (const p of envVarName(name)) errors.push(invalidValue(`${at}.name`, name, p));
    if (!valueFrom) continue;
    const from = `${at}.valueFrom`;
    const sources = Object.values(valueFrom).filter((s) => s !== undefined).length;
    if (sources === 0)
      errors.push(
        invalidValue(
          from,
          "",
          "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
      );
    else if (value) errors.push(invalidValue(from, "", "may not be specified when `value` is not empty"));
    if (sources > 1) errors.push(invalidValue(from, "", "may not have more than one field specified at a time"));
    if (valueFrom.fieldRef && !valueFrom.fieldRef.fieldPath) errors.push(required(`${from}.fieldRef.fieldPath`));
    else if (valueFrom.fieldRef && !fieldPath.test(valueFrom.fieldRef.fieldPath))
      errors.push(notSupported(`${from}.fieldRef.fieldPath`, valueFrom.fieldRef.fieldPath, fieldPaths));
    if (valueFrom.resourceFieldRef && !valueFrom.resourceFieldRef.resource)
      errors.push(required(`${from}.resourceFieldRef.resource`));
    for (const ref of ["configMapKeyRef", "secretKeyRef"] as const) {
      const { name: object, key } = valueFrom[ref] ?? { name: "-", key: "-" };
      if (!object) errors.push(required(`${from}.${ref}.name`));
      if (!key) errors.push(required(`${from}.${ref}.key`));
      else for (const p of configMapKey(key)) errors.push(invalidValue(`${from}.${ref}.key`, key, p));
    }
  }
  return errors;
}

const fieldPaths = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
const fieldPath = new RegExp(
  `^(${fieldPaths.map((p) => p.replace(".", "\\.")).join("|")}|metadata\\.(labels|annotations)\\['.+'\\])$`,
);

function validateResources(resources: ResourceRequirements | undefined, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const kind of ["limits", "requests"] as const)
    for (const [name, quantity] of Object.entries(resources?.[kind] ?? {})) {
      const at = `${path}.${kind}[${name}]`;
      for (const p of qualifiedName(name)) errors.push(invalidValue(at, name, p));
      if (!name.includes("/") && !/^(cpu|memory|ephemeral-storage|hugepages-.+)$/.test(name))
        errors.push(invalidValue(at, name, "must be a standard resource for containers"));
      if (parseQuantity(quantity).nano < 0n)
        errors.push(invalidValue(at, quantity, "must be greater than or equal to 0"));
    }
  for (const [name, request] of Object.entries(resources?.requests ?? {})) {
    const limit = resources?.limits?.[name];
    if (limit !== undefined && compareQuantities(request, limit) > 0)
      errors.push(invalidValue(`${path}.requests`, request, `must be less than or equal to ${name} limit of ${limit}`));
  }
  return errors;
}

function validateProbe(probe: Probe | undefined, at: string): FieldError[] {
  if (!probe) return [];
  const errors = validateHandler(probe, at);
  for (const name of [
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
  ] as const)
    if ((probe[name] ?? 0) < 0)
      errors.push(invalidValue(`${at}.${name}`, probe[name], "must be greater than or equal to 0"));
  if (probe.terminationGracePeriodSeconds !== undefined && probe.terminationGracePeriodSeconds <= 0)
    errors.push(
      invalidValue(
        `${at}.terminationGracePeriodSeconds`,
        probe.terminationGracePeriodSeconds,
        "must be greater than 0",
      ),
    );
  return errors;
}

function validateHandler(handler: ProbeHandler & { sleep?: { seconds: number } }, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const kinds = (["exec", "httpGet", "tcpSocket", "grpc", "sleep"] as const).filter((k) => handler[k]);
  if (kinds.length === 0) errors.push(required(at, "must specify a handler type"));
  for (const extra of kinds.slice(1))
    errors.push(forbiddenField(`${at}.${extra}`, "may not specify more than 1 handler type"));
  if (handler.exec && !handler.exec.command?.length) errors.push(required(`${at}.exec.command`));
  if (handler.httpGet) {
    if (!handler.httpGet.path) errors.push(required(`${at}.httpGet.path`));
    errors.push(...oneOf(`${at}.httpGet.scheme`, handler.httpGet.scheme, ["HTTP", "HTTPS"], false));
    errors.push(...validateTargetPort(handler.httpGet.port, `${at}.httpGet.port`));
  }
  if (handler.tcpSocket) errors.push(...validateTargetPort(handler.tcpSocket.port, `${at}.tcpSocket.port`));
  if (handler.grpc)
    for (const p of portNumber(handler.grpc.port)) errors.push(invalidValue(`${at}.grpc.port`, handler.grpc.port, p));
  return errors;
}

/** A number, or the name of a container's port. */
export function validateTargetPort(port: number | string | undefined, at: string): FieldError[] {
  const problems = typeof port === "string" ? portName(port) : portNumber(port ?? 0);
  return problems.map((p) => invalidValue(at, port ?? 0, p));
}

/** Required unless empty is allowed, and one of the values. */
export function oneOf(path: string, value: string | undefined, values: readonly string[], must: boolean): FieldError[] {
  if (!value) return must ? [required(path)] : [notSupported(path, value ?? "", values)];
  return values.includes(value) ? [] : [notSupported(path, value, values)];
}
