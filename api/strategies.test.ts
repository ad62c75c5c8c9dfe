import { describe, expect, test } from "vitest";
import type { KubernetesObject } from "../apimachinery/object.ts";
import { resources } from "./resources.ts";
import { make, row } from "./testing.ts";

describe("who counts generations, and what a PUT may do", () => {
  const change = (kind: string, edit: (object: KubernetesObject) => void) => {
    const old = make(kind);
    const next = structuredClone(old);
    edit(next);
    row(kind).prepareForUpdate(next, old);
    return next;
  };
  const label = ({ metadata }: KubernetesObject) => Object.assign(metadata, { labels: { a: "b" } });
  test("labels of an EndpointSlice count, those of others do not", () => {
    expect([change("EndpointSlice", label), change("Ingress", label)].map((o) => o.metadata.generation)).toEqual([
      2, 1,
    ]);
  });
  test("of a CSIDriver some fields count, as upstream has it", () => {
    const edit = (spec: object) => (object: KubernetesObject) =>
      void Object.assign((object as { spec?: object }).spec!, spec);
    const generation = (spec: object) => change("CSIDriver", edit(spec)).metadata.generation;
    expect([generation({ requiresRepublish: true }), generation({ fsGroupPolicy: "File" })]).toEqual([1, undefined]);
  });
  test("fields of gates that are off are dropped", () => {
    const scaleUp = { tolerance: "0.1", selectPolicy: "Max" };
    expect(JSON.stringify(make("HorizontalPodAutoscaler", { behavior: { scaleUp } }))).not.toContain("tolerance");
    const driver = make("CSIDriver", { nodeAllocatableUpdatePeriodSeconds: 1 });
    expect(JSON.stringify(driver)).not.toContain("nodeAllocatable");
    const attachment = { ...make("VolumeAttachment"), status: { attachError: { message: "m", errorCode: -1 } } };
    row("VolumeAttachment").prepareForStatusUpdate(attachment as KubernetesObject, make("VolumeAttachment"));
    expect(attachment).toMatchObject({ status: { attachError: { message: "m" } } });
    expect(JSON.stringify(attachment)).not.toContain("errorCode");
  });
  test("a budget is called what a path can hold", () => {
    const budget = make("PodDisruptionBudget");
    budget.metadata.name = "A_b";
    expect(row("PodDisruptionBudget").validate(budget)).toEqual([]);
  });
  test("the topology that other versions had is dropped", () => {
    const slice = make("EndpointSlice", { endpoints: [{ addresses: ["1.1.1.1"], deprecatedTopology: { a: "b" } }] });
    expect(slice).toMatchObject({ endpoints: [{ addresses: ["1.1.1.1"] }] });
    expect(JSON.stringify(slice)).not.toContain("deprecatedTopology");
  });
  test("nobody counts those of", () => {
    const uncounted = resources().filter((r) => !r.virtual && make(r.kind).metadata.generation === undefined);
    expect([...new Set(uncounted.map((r) => r.kind))].sort()).toEqual(
      "APIService CSIDriver CSINode CSIStorageCapacity CertificateSigningRequest ClusterRole ClusterRoleBinding ConfigMap ControllerRevision Endpoints Event HorizontalPodAutoscaler IPAddress Lease LimitRange Namespace Node PersistentVolume PersistentVolumeClaim ResourceClaim ResourceClaimTemplate ResourceQuota Role RoleBinding RuntimeClass Secret Service ServiceAccount ServiceCIDR StorageClass VolumeAttachment VolumeAttributesClass".split(
        " ",
      ),
    );
  });
  test("a status is there from the start, and says what upstream's has no word for leaving out", () => {
    const status = (kind: string) => (make(kind) as { status?: object }).status;
    expect(["Deployment", "Job", "ResourceClaim", "ServiceCIDR"].map(status)).toEqual([{}, {}, {}, {}]);
    expect(status("StatefulSet")).toEqual({ replicas: 0 });
    expect(status("HorizontalPodAutoscaler")).toEqual({ desiredReplicas: 0 });
  });
  test("a PUT makes what was not there, of", () => {
    const makes = resources().filter((r) => r.createOnUpdate && !r.face);
    expect(makes.map((r) => r.kind).sort()).toEqual(
      "ClusterRole ClusterRoleBinding Endpoints Event Lease LimitRange Role RoleBinding Service".split(" "),
    );
  });
  test("a PUT needs a resourceVersion, of", () => {
    const needs = resources().filter((r) => !r.virtual && !r.unconditionalUpdate);
    expect(needs.map((r) => r.kind).sort()).toEqual(
      "APIService CSIDriver CSINode CSIStorageCapacity CustomResourceDefinition Lease MutatingWebhookConfiguration PodDisruptionBudget RuntimeClass ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration VolumeAttachment".split(
        " ",
      ),
    );
  });
});

describe("what field selectors may name is upstream's list", () => {
  const meta = ["metadata.name", "metadata.namespace"];
  const known: Record<string, string> = {
    Pod: "spec.nodeName spec.host spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork status.phase status.podIP status.podIPs status.nominatedNodeName",
    ...{ Node: "spec.unschedulable", Namespace: "status.phase", ReplicationController: "status.replicas" },
    ...{ Secret: "type", Service: "spec.clusterIP spec.type", Job: "status.successful" },
    ...{ CertificateSigningRequest: "spec.signerName", ResourceSlice: "spec.nodeName spec.driver" },
    Event:
      "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent source type",
    "events.k8s.io Event":
      "regarding.kind regarding.namespace regarding.name regarding.uid regarding.apiVersion regarding.resourceVersion regarding.fieldPath reason reportingController source type",
  };
  for (const { group, kind, namespaced, selectableFields } of resources())
    test(`${kind} of ${group || "core"}`, () => {
      const own = (known[`${group} ${kind}`] ?? known[kind])?.split(" ") ?? [];
      expect(selectableFields).toEqual([...(own.length > 0 && !namespaced ? ["metadata.name"] : meta), ...own]);
    });

  test.each([
    ["Deployment", '"x" is not a known field selector: only "metadata.name", "metadata.namespace"'],
    ["ReplicaSet", '"x" is not a known field selector: only "metadata.name", "metadata.namespace"'],
    ["Pod", "field label not supported: x"],
    ["Job", 'field label "x" not supported for batchv1.Job'],
    ["ResourceSlice", "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: x"],
  ])("of another %s says so in its own words", (kind, text) => expect(row(kind).unknownField("x")).toBe(text));

  test("absent ones have upstream's values", () => {
    expect(row("Pod").fields(make("Pod", { nodeName: "n" }))).toMatchObject({
      ...{ "spec.nodeName": "n", "spec.host": "n", "spec.hostNetwork": "false", "status.podIPs": "" },
    });
    expect(row("Node").fields(make("Node"))).toEqual({ "spec.unschedulable": "false" });
    expect(row("Job").fields(make("Job"))).toEqual({ "status.successful": "0" });
  });
});
