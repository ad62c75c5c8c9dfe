import type { Lease } from "../api/generated/coordination-v1.ts";
import type { Node } from "../api/generated/core-v1.ts";
import { Leases } from "../api/generated/resources.ts";
import { isNotFound } from "../apimachinery/status.ts";
import { sleep } from "../base/clock.ts";
import type { Parts } from "../client/types.ts";

export interface LeaseOptions extends Parts {
  nodeName: string;
  /** The registered Node, owner of a new Lease. A Lease that is there is renewed without waiting for it. */
  registered: Promise<Node>;
  durationMs: number;
}

/** Renews this node's Lease in kube-node-lease four times in its duration (KEP-589): the sign of life of a node. */
export async function keepLease(
  { client, clock, log, nodeName: name, registered, durationMs }: LeaseOptions,
  signal: AbortSignal,
): Promise<void> {
  const namespace = "kube-node-lease";
  // A renewal that hangs must not cost the node its readiness: give up in time for the next ones.
  const options = { timeoutMs: Math.max(500, durationMs / 4), signal };
  const spec = () => ({
    holderIdentity: name,
    leaseDurationSeconds: Math.max(1, Math.round(durationMs / 1000)),
    renewTime: new Date(clock.now()).toISOString().replace("Z", "000Z"),
  });
  const create = async () => {
    const { uid } = (await registered).metadata;
    const ownerReferences = [{ apiVersion: "v1", kind: "Node", name, uid: uid! }];
    const lease: Lease = { metadata: { name, namespace, ownerReferences }, spec: spec() };
    return client.create(Leases, lease, options);
  };
  for (let failures = 0; !signal.aborted; ) {
    try {
      const patch = { type: "merge" as const, body: { spec: spec() } };
      await client.patch(Leases, { namespace, name }, patch, options).catch((error) => {
        if (isNotFound(error)) return create();
        throw error;
      });
      failures = 0;
      await sleep(clock, durationMs / 4, signal);
    } catch (err) {
      if (signal.aborted) return;
      log.warn({ err }, "Failed to update lease, trying again");
      await sleep(clock, Math.min(50 * 2 ** failures++, durationMs / 4), signal);
    }
  }
}
