import { unauthorized } from "../../apimachinery/status.ts";
import type { User } from "../request.ts";

export interface Authenticated {
  user: User;
  /** Which of the audiences asked for the token is meant for. */
  audiences: readonly string[];
}

/** One kind of bearer token. Undefined: not of this kind, or not good. */
export interface TokenAuthenticator {
  authenticate(token: string, audiences: readonly string[]): Promise<Authenticated | undefined>;
}

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Who is at the other end of the connection, by its client certificate. */
export interface Peer {
  /** "invalid": a certificate that no authority of ours has signed. */
  user: User | "invalid" | undefined;
  /** CN of a certificate that the front-proxy authority has signed. */
  proxy?: string | undefined;
  address?: string | undefined;
}

export interface RequestHeaderOptions {
  /** Empty: every certificate of the authority. */
  allowedNames: readonly string[];
  usernameHeaders: readonly string[];
  uidHeaders: readonly string[];
  groupHeaders: readonly string[];
  extraHeaderPrefixes: readonly string[];
}

/**
 * Who sends a request, in upstream's order: what a front proxy vouches for, the client certificate, bearer tokens.
 * Undefined when there is no credential at all; throws 401 when there is one and none is good.
 */
export class Authenticator {
  readonly audiences: readonly string[];
  readonly #tokens: () => readonly TokenAuthenticator[];
  readonly #requestHeader: RequestHeaderOptions | undefined;

  constructor(options: {
    tokens(): readonly TokenAuthenticator[];
    audiences: readonly string[];
    requestHeader?: RequestHeaderOptions | undefined;
  }) {
    this.#tokens = options.tokens;
    this.audiences = options.audiences;
    this.#requestHeader = options.requestHeader;
  }

  async authenticate({ user, proxy }: Peer, headers: Headers): Promise<User | undefined> {
    const vouched = proxy === undefined ? undefined : this.#vouched(proxy, headers);
    if (vouched !== undefined) return vouched;
    if (user !== undefined && user !== "invalid") return user;
    const token = bearerToken(headers);
    const found = token === undefined ? undefined : await this.token(token, this.audiences);
    if (found === undefined && (token !== undefined || user === "invalid")) throw unauthorized();
    return found?.user;
  }

  async token(token: string, audiences: readonly string[]): Promise<Authenticated | undefined> {
    for (const authenticator of this.#tokens()) {
      const found = await authenticator.authenticate(token, audiences);
      if (found !== undefined) return { ...found, user: withGroup(found.user, "system:authenticated") };
    }
    return undefined;
  }

  #vouched(name: string, headers: Headers): User | undefined {
    const options = this.#requestHeader;
    if (options === undefined || (options.allowedNames.length > 0 && !options.allowedNames.includes(name)))
      return undefined;
    const first = (names: readonly string[]) =>
      names.flatMap((header) => valuesOf(headers, header)).find((value) => value !== "");
    const user = first(options.usernameHeaders);
    if (user === undefined) return undefined;
    const groups = options.groupHeaders.flatMap((header) => valuesOf(headers, header));
    const extra = extraOf(headers, options.extraHeaderPrefixes);
    return withGroup({ name: user, uid: first(options.uidHeaders), groups, extra }, "system:authenticated");
  }
}

export const withGroup = (user: User, group: string): User =>
  user.groups.includes(group) ? user : { ...user, groups: [...user.groups, group] };

/** Repeated headers apart, where one value may hold commas: groups of a directory do. */
export function distinct(raw: readonly string[]): Headers {
  const headers: Record<string, string[]> = {};
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase();
    headers[name] = [...(headers[name] ?? []), raw[i + 1]!];
  }
  return headers;
}

/** Each value that a header was sent with. */
export function valuesOf(headers: Headers, name: string): string[] {
  const value = headers[name.toLowerCase()];
  if (value === undefined) return [];
  return Array.isArray(value) ? value : value.split(",").map((part) => part.trim());
}

/** `Impersonate-Extra-acme.com%2Fproject: x` -> `{"acme.com/project": ["x"]}` */
export function extraOf(headers: Headers, prefixes: readonly string[]): Record<string, string[]> | undefined {
  const extra: Record<string, string[]> = {};
  for (const prefix of prefixes.map((text) => text.toLowerCase()))
    for (const header of Object.keys(headers)) {
      if (!header.startsWith(prefix)) continue;
      const key = unescaped(header.slice(prefix.length));
      extra[key] = [...(extra[key] ?? []), ...valuesOf(headers, header)];
    }
  return Object.keys(extra).length > 0 ? extra : undefined;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const tokenProtocol = "base64url.bearer.authorization.k8s.io.";

/** From the header Authorization, or a WebSocket's subprotocol, as browsers can send no other header. */
export function bearerToken(headers: Headers): string | undefined {
  const match = /^bearer +(\S+)/i.exec(String(headers["authorization"] ?? "").trim());
  if (match) return match[1];
  if (String(headers["upgrade"] ?? "").toLowerCase() !== "websocket") return undefined;
  const offered = valuesOf(headers, "sec-websocket-protocol");
  const hidden = offered.length > 1 ? offered.find((name) => name.startsWith(tokenProtocol)) : undefined; // one must be left
  return hidden && Buffer.from(hidden.slice(tokenProtocol.length), "base64url").toString("utf8");
}
