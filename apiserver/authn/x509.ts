import type { User } from "../request.ts";

/**
 * Client certificates (x509): the user is the common name, the groups are the organizations. The certificate has been
 * verified by the TLS layer against the client authority, for the use clientAuth.
 */
export function userOfCertificate(
  subject: { CN?: string | string[]; O?: string | string[] } | undefined,
): User | undefined {
  const name = Array.isArray(subject?.CN) ? subject.CN[0] : subject?.CN;
  if (!name) return undefined;
  return { name, groups: [...[subject?.O ?? []].flat(), "system:authenticated"] };
}

/** Who comes without any credential; may see only what the policy gives everyone. */
export const anonymous: User = { name: "system:anonymous", groups: ["system:unauthenticated"] };
