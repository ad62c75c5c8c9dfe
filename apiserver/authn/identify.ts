import { unauthorized } from "../../apimachinery/status.ts";
import { isAlwaysAllowed } from "../chain.ts";
import type { Caller, User } from "../request.ts";
import { type Authenticator, distinct, type Headers, type Peer, valuesOf } from "./authenticator.ts";
import { impersonation } from "./impersonation.ts";
import { anonymous } from "./x509.ts";

/** What either front knows of who asks. */
export interface Credentials {
  peer: Peer;
  headers: Headers;
  /** Name, value, name, value: repeated headers apart. */
  rawHeaders: readonly string[];
}

/** Who a request is from, and whom it acts as (`kubectl --as`). Throws 401. */
export async function identify(
  { authenticator, anonymous: allowed }: { authenticator: Authenticator; anonymous(path: string): boolean },
  { peer, headers: joined, rawHeaders }: Credentials,
  path: string,
): Promise<{ user: User; caller: Caller }> {
  const apart = peer.proxy !== undefined || joined["impersonate-group"] !== undefined;
  const headers = apart ? distinct(rawHeaders) : joined;
  const found = await authenticator.authenticate(peer, headers);
  const user = found ?? (allowed(path) || isAlwaysAllowed(path) ? anonymous : undefined);
  if (user === undefined) throw unauthorized();
  const acting = impersonation(user, headers);
  const sourceIPs = [...valuesOf(headers, "x-forwarded-for"), ...(peer.address ? [peer.address] : [])];
  const [auditID] = valuesOf(joined, "audit-id");
  return { user: acting?.as ?? user, caller: { user, needs: acting?.needs ?? [], sourceIPs, auditID } };
}
