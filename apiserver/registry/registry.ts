import type { Scale } from "../../api/generated/autoscaling-v1.ts";
import type { Binding, Namespace, Pod } from "../../api/generated/core-v1.ts";
import type { Eviction } from "../../api/generated/policy-v1.ts";
import { PodDisruptionBudgets, Pods } from "../../api/generated/resources.ts";
import { validateFinalizer } from "../../api/metadata.ts";
import type { Resource, Subresource } from "../../api/resource.ts";
import { each } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { internalError, invalid, methodNotSupported, pathNotFound } from "../../apimachinery/status.ts";
import { type Answer, type Sendable, sendable } from "../answer.ts";
import { viewed } from "../crd/view.ts";
import { isTrue } from "../http/request-info.ts";
import type { ApiRequest, Target } from "../request.ts";
import { idOf, type ResourceTable } from "../resource-table.ts";
import { type StreamOptions, streamLocation, streamOptions } from "../streams/location.ts";
import { proxyAddress } from "../streams/proxy-address.ts";
import { admit, attributesOf } from "./admit.ts";
import { bind } from "./binding.ts";
import { componentStatus } from "./component-status.ts";
import type { Context, Maker, Place } from "./context.ts";
import { decodeObject, decodePatchedValue, decodeServed, isDryRun } from "./decode.ts";
import { decodeDeleteOptions, deleteCollection, hasFinalizers, remove } from "./delete.ts";
import { evict, evictionBody } from "./evict.ts";
import { managerOf, validateManager } from "./field-manager.ts";
import { get, list } from "./list.ts";
import { agentAddress, type KubeletClient, podLog } from "./log.ts";
import { gone, modify } from "./modify.ts";
import { applyPatch, isApply, patcher } from "./patch.ts";
import { updateScale } from "./scale.ts";
import { fromStored, inVersion, storedOf, toStored } from "./versions.ts";
import { watch } from "./watch.ts";
import { create, matchName, matchNamespace, next, rewrite, update, type WriteOptions } from "./write.ts";

/**
 * One registry for all kinds: every verb works from the kind's row in the resource table. Takes requests that are
 * authenticated and authorized; throws StatusErrors.
 */
export class Registry {
  readonly context: Context;
  readonly #table: ResourceTable;
  readonly #kubelet: KubeletClient | undefined;
  /** Who answers for resources that are not stored, by the id of the resource. */
  readonly virtual = new Map<string, (request: ApiRequest) => Answer | Promise<Answer>>();

  constructor(context: Context, table: ResourceTable, kubelet: KubeletClient | undefined) {
    this.context = context;
    this.#kubelet = kubelet;
    this.#table = table;
    this.virtual.set("/v1/bindings", (request) => this.#bind(request, request.target.name));
    this.virtual.set("/v1/componentstatuses", ({ target }) =>
      componentStatus({ context, resource: this.resource(target), target }),
    );
  }

  /** Throws 404 for what is not served. */
  resource(target: Pick<Target, "group" | "version" | "resource">): Resource {
    const resource = this.#table.find(target);
    if (resource === undefined) throw pathNotFound();
    return resource;
  }

  /** The same; what is not known may have been defined at another apiserver a moment ago. Groups of others have a dot. */
  async #caughtUp(target: Target): Promise<Resource> {
    if (target.group.includes(".")) await this.context.cache.consistent();
    return this.resource(target);
  }

  async handle(request: ApiRequest): Promise<Answer> {
    await this.context.cache.initialized();
    const served = this.#table.find(request.target) ?? (await this.#caughtUp(request.target));
    return inVersion(served, await this.#handle(request, served));
  }

  async #handle(request: ApiRequest, served: Resource): Promise<Answer> {
    const { target, verb, options } = request;
    const resource = storedOf(served);
    const at = { context: this.context, resource, target };
    if (target.subresource !== "") return this.#subresource(at, request, served);
    if (!resource.verbs.includes(verb)) throw methodNotSupported(resource, verb);
    if (resource.deprecated) request.warnings.push(resource.deprecated);
    if (resource.virtual) {
      const make = this.context.makers.get(`${resource.group}/${resource.resource}`);
      if (make !== undefined) return this.#make(at, request, resource, make);
      return (this.virtual.get(idOf(target)) ?? notServed)(request);
    }
    if (resource.namespaced && target.namespace === "") {
      if (target.name !== "") throw pathNotFound();
      if (verb !== "list" && verb !== "watch") throw methodNotSupported(resource, verb); // never all namespaces at once
    }
    if (!resource.namespaced && target.namespace !== "" && resource.resource !== "namespaces") throw pathNotFound();
    const misplaced = target.name === "" ? verb === "update" || verb === "patch" : verb === "create";
    if (misplaced) throw methodNotSupported(resource, verb);
    switch (verb) {
      case "get":
        return object(resource, await get(at, options));
      case "list":
        return { type: "List", resource, list: await list({ ...at, resource: served }, options) };
      case "watch":
        return { type: "Watch", resource, watch: await watch({ ...at, resource: served }, options) };
      case "create":
        return object(resource, await create(at, this.#body(request, served), writeOptions(request, served)), 201);
      case "update":
        return this.#update(at, request, served);
      case "patch":
        return this.#patch(at, request, served);
      case "delete": {
        const deleteOptions = decodeDeleteOptions(request.body, options);
        const deleted = await remove(at, deleteOptions, request);
        if (!deleted.gone)
          return object(resource, deleted.stored, deleteOptions.orphanDependents === false ? 202 : 200);
        return object(undefined, deletedStatus(resource, deleted.stored.parse()));
      }
      case "deletecollection": {
        const deleteOptions = decodeDeleteOptions(request.body, options);
        const items = await deleteCollection({ ...at, resource: served }, options, deleteOptions, request);
        return { type: "List", resource, list: items };
      }
    }
  }

  #body(request: ApiRequest, served: Resource): KubernetesObject {
    const object = decodeObject(served, request);
    if (served.face) served.defaults(object);
    return toStored(served, object);
  }

  async #update(at: Place, request: ApiRequest, served: Resource): Promise<Answer> {
    const { code, stored } = await update(at, this.#body(request, served), writeOptions(request, served));
    return object(at.resource, stored, code);
  }

  async #patch(at: Place, request: ApiRequest, served: Resource): Promise<Answer> {
    const { body, options } = request;
    const write = writeOptions(request, served);
    if (isApply(body)) {
      const { code, stored } = await applyPatch(at, served, request, write);
      return object(at.resource, stored, code);
    }
    const patch = patcher(served, request);
    const stored = await rewrite(at, write, (old, warnings) => ({
      wanted: decodeServed(served, patch(fromStored(served, old)), { options, warnings }, patch),
    }));
    return object(at.resource, stored);
  }

  async #subresource(at: Place, request: ApiRequest, served: Resource): Promise<Answer> {
    const { context, resource, target } = at;
    const { verb, options } = request;
    const subresource = resource.subresources.find(({ name }) => name === target.subresource);
    if (subresource === undefined) throw pathNotFound();
    if (!subresource.verbs.includes(verb as never) && subresource.name !== "proxy")
      throw methodNotSupported(resource, verb);
    switch (subresource.name) {
      case "approval":
      case "ephemeralcontainers":
      case "resize":
      case "status":
        if (verb === "get") return object(resource, await get(at, options));
        if (verb === "patch") return this.#patch(at, request, served);
        return this.#update(at, request, served);
      case "scale":
        return this.#scale(at, request, subresource);
      case "binding":
        return this.#bind(request, target.name);
      case "eviction": {
        const body = request.body && evictionBody(request.body);
        const eviction = decodeObject(subresource.kind, { body, options, warnings: request.warnings }) as Eviction;
        const budgets = this.resource(PodDisruptionBudgets);
        await evict(at, budgets, eviction, writeOptions(request));
        return object(undefined, success({ code: 201 }), 201);
      }
      case "log": {
        const query = options.query ?? new URLSearchParams();
        const stream = await podLog(at, this.#kubelet, await get(at, {}), query, request.signal);
        return { type: "Stream", contentType: "text/plain", stream };
      }
      case "attach":
      case "exec":
      case "portforward":
      case "proxy":
        return this.#connect(at, request, subresource);
      case "finalize":
        return this.#finalize(at, request);
      default: {
        const make = context.makers.get(`${resource.group}/${resource.resource}/${subresource.name}`);
        if (make === undefined) throw pathNotFound();
        return this.#make(at, request, subresource.kind, make);
      }
    }
  }

  /** To the agent of the Pod's node, or to what a proxied request names; admission is asked first, of what nobody has looked at yet. */
  async #connect(at: Place, request: ApiRequest, { kind }: Subresource): Promise<Answer> {
    const { context, target } = at;
    const { faults } = context;
    const { user, warnings, auditAnnotations } = request;
    const { query = new URLSearchParams(), proxied } = request.options;
    if (target.subresource === "proxy" && proxied === undefined) throw pathNotFound();
    const options = proxied
      ? { kind: kind.kind, apiVersion: "v1", path: proxied.rest.replace(/\?.*/s, "") }
      : streamOptions(kind.kind, query);
    const asking = { user, warnings, dryRun: false, ...(auditAnnotations && { auditAnnotations }) };
    const connecting = options as unknown as KubernetesObject;
    const admitted = await admit(context, attributesOf("CONNECT", at, [connecting, undefined], asking, kind));
    const agent = (nodeName: string) => {
      const address = agentAddress(context, nodeName);
      if (this.#kubelet === undefined) throw internalError(new Error("no kubelet client certificate is configured"));
      return { ...address, tls: this.#kubelet.tls };
    };
    const read = async (name: string) => (await get({ ...at, target: { ...target, name } }, {})).parse();
    if (proxied) {
      const address = await proxyAddress(context, target, read, agent);
      return { type: "Connect", location: { ...address, faults, path: proxied.rest, prefix: proxied.prefix } };
    }
    const streams = admitted as unknown as StreamOptions;
    const { nodeName, path } = streamLocation((await read(target.name)) as Pod, streams);
    return { type: "Connect", location: { ...agent(nodeName), faults, path, streams } };
  }

  async #bind(request: ApiRequest, name: string): Promise<Answer> {
    const binding = decodeObject({ group: "", version: "v1", kind: "Binding" }, request) as Binding;
    const pod = { ...request.target, resource: "pods", name: name || binding.metadata.name };
    const at = { context: this.context, resource: this.resource(Pods), target: pod };
    await bind(at, binding, writeOptions(request));
    return object(undefined, success({ code: 201 }), 201);
  }

  async #make(at: Place, request: ApiRequest, kind: Subresource["kind"], make: Maker): Promise<Answer> {
    const { context, resource, target } = at;
    const wanted = decodeObject(kind, request);
    if (target.subresource !== "") matchName(target, wanted);
    matchNamespace(resource, target, wanted);
    const attributes = attributesOf("CREATE", at, [wanted, undefined], writeOptions(request), kind);
    return object(undefined, sendable(await make((await admit(context, attributes))!, request)), 201);
  }

  async #scale(at: Place, request: ApiRequest, { kind }: Subresource): Promise<Answer> {
    const { verb, options } = request;
    if (verb === "get") {
      const stored = await viewed(at.resource, await get(at, options));
      return object(undefined, sendable(at.resource.scale!.get(stored.parse())));
    }
    let modifier: (scale: Scale) => Scale;
    if (verb === "update") {
      const wanted = decodeObject(kind, request) as Scale;
      matchName(at.target, wanted);
      modifier = () => wanted;
    } else {
      const patch = patcher(kind, request);
      modifier = (scale) => decodePatchedValue(kind, patch(scale), patch, request) as Scale;
    }
    return object(undefined, sendable(await updateScale(at, writeOptions(request), modifier)));
  }

  /** PUT namespaces/finalize: only spec.finalizers; the Namespace goes with its last one. */
  async #finalize(at: Place, request: ApiRequest): Promise<Answer> {
    const { resource, target } = at;
    const { metadata, spec } = decodeObject(resource, request) as Namespace;
    matchName(target, { metadata });
    const finalizers = spec?.finalizers ?? [];
    const problems = [...each(finalizers, "spec.finalizers", validateFinalizer)];
    if (problems.length > 0) throw invalid(resource, target.name, problems);
    const write = writeOptions(request);
    const whole = { ...at, target: { ...target, subresource: "" } };
    const { stored } = await modify(at, write.dryRun, async (old) => {
      const object = structuredClone(old) as Namespace;
      object.metadata.resourceVersion = metadata.resourceVersion || old.metadata.resourceVersion!;
      object.spec = { ...object.spec, finalizers };
      const result = (await next(whole, old, object, write, "finalize")) as Namespace | typeof gone;
      if (result === gone) return gone;
      result.metadata.resourceVersion = old.metadata.resourceVersion!;
      result.spec = { ...result.spec, finalizers };
      return result.metadata.deletionTimestamp !== undefined && !hasFinalizers(result) ? gone : result;
    });
    return object(resource, stored);
  }
}

function writeOptions(request: ApiRequest, served?: Resource): WriteOptions {
  const { user, options, warnings, verb, auditAnnotations } = request;
  const errors = validateManager(options);
  const kind = `${verb[0]!.toUpperCase()}${verb.slice(1)}Options`;
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind }, "", errors);
  const dryRun = isDryRun(options.dryRun);
  const { fieldManager, fieldValidation } = options;
  const requestOptions = {
    kind,
    apiVersion: "meta.k8s.io/v1",
    ...(dryRun && { dryRun: ["All"] }),
    ...(fieldManager && { fieldManager }),
    ...(fieldValidation && { fieldValidation }),
    ...(options.force !== undefined && { force: isTrue(options.force) }),
  };
  return {
    user,
    dryRun,
    warnings,
    manager: managerOf(request),
    requestOptions,
    ...(auditAnnotations && { auditAnnotations }),
    ...(served?.face && { served }),
  };
}

function object(resource: Resource | undefined, object: Sendable, code = 200): Answer {
  return { type: "Object", code, resource, object };
}

function notServed(): never {
  throw pathNotFound();
}

const success = (more: { code: number } | { details: object }): Sendable =>
  sendable({ kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", ...more } as never);

/** kubectl compares the uid: a new object of the same name is not the deleted one. */
function deletedStatus({ group, resource }: Resource, { metadata }: KubernetesObject): Sendable {
  return success({ details: { name: metadata.name, ...(group ? { group } : {}), kind: resource, uid: metadata.uid } });
}
