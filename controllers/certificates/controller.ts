import type { SubjectAccessReview } from "../../api/generated/authorization-v1.ts";
import { CertificateSigningRequests, SubjectAccessReviews } from "../../api/generated/resources.ts";
import type { Authority } from "../../pki/authority.ts";
import type { ControllerContext } from "../context.ts";
import type { Runner } from "../runner.ts";
import { type Action, reconcile, type State, withCondition } from "./reconcile.ts";

export interface SigningOptions {
  /** Of --cluster-signing-*-file; without it approved requests wait for another signer. */
  signing?: { authority: Authority; longestSeconds: number } | undefined;
}

export function certificatesController(context: ControllerContext, { signing }: SigningOptions): Runner<State, Action> {
  const { client, clock } = context;
  const requests = context.informer(CertificateSigningRequests);
  const runner = context.runner<State, Action>({
    name: "certificates",
    gather(key) {
      const request = requests.store.get(key);
      return request && { request, now: clock.now(), longest: signing?.longestSeconds };
    },
    reconcile,
    async execute(action, { request }, signal) {
      const { name, uid } = request.metadata;
      const update = (changed: typeof request, subresource: string) =>
        client.update(CertificateSigningRequests, changed, { subresource, signal });
      if (action.type === "Delete")
        await client.delete(CertificateSigningRequests, { name }, { preconditions: { uid: uid! }, signal });
      else if (action.type === "Fail")
        await update(withCondition(request, "Failed", "SignerValidationFailure", action.message), "status");
      else if (action.type === "Sign") {
        const pem = Buffer.from(request.spec.request, "base64").toString();
        const made = await signing!.authority.sign(pem, action.usages, action.seconds).catch((error: Error) => {
          context.log.warn({ err: error, name }, "Signing a certificate request failed");
        });
        if (made === undefined) return;
        const certificate = Buffer.from(made).toString("base64");
        await update({ ...request, status: { ...request.status, certificate } }, "status");
      } else {
        for (const { subresource, message } of action.reviews) {
          const { username: user = "", uid: userUid = "", groups = [], extra = {} } = request.spec;
          const { group, resource } = CertificateSigningRequests;
          const resourceAttributes = { group, version: "*", resource, verb: "create", subresource };
          const spec = { user, uid: userUid, groups, extra, resourceAttributes };
          const review = { metadata: {}, spec } as SubjectAccessReview;
          const answer = await client.create(SubjectAccessReviews, review, { signal });
          if (!answer.status?.allowed) continue;
          await update(withCondition(request, "Approved", "AutoApproved", message), "approval");
          return;
        }
        context.log.info({ name }, "The SubjectAccessReview of a recognized certificate request was not approved");
      }
    },
  });
  requests.on(({ metadata }) => runner.queue.add(metadata.name));
  return runner;
}
