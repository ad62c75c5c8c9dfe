import type { IncomingMessage } from "node:http";
import { posix } from "node:path";
import { type Readable, Transform } from "node:stream";
import { createGunzip, createInflate } from "node:zlib";
import { serviceUnavailable } from "../../apimachinery/status.ts";
import type { HttpRequest, HttpResponse } from "../http/server.ts";
import { copy, dial, dialText, endToEnd, forwarded, hostOf } from "./dial.ts";
import type { Location } from "./location.ts";

/**
 * A request as it is, both bodies as they come, and its answer with links that lead through the proxy again (upstream's
 * apimachinery/pkg/util/proxy): a Location header, and what HTML refers to by a path. Resolves at the answer's headers;
 * throws 503 when nobody answers.
 */
export function passRequest(
  location: Location & { prefix: string },
  request: HttpRequest,
  response: HttpResponse,
): Promise<number> {
  const { method } = request;
  const { prefix, path } = location;
  if (/^(\?|$)/.test(path) && (method === "GET" || method === "HEAD")) {
    response.writeHead(301, { location: `${prefix}/${path}` }); // else relative links would miss `/proxy`
    response.end();
    return Promise.resolve(301);
  }
  const { stream } = request;
  const host = String(request.headers["host"] ?? request.headers[":authority"] ?? "");
  const before = request.headers["x-forwarded-for"];
  const headers = {
    ...endToEnd(forwarded(request.headers)),
    ...location.headers,
    host,
    "x-forwarded-for": [before, request.peer.address].flat().filter(Boolean).join(", "),
    "x-forwarded-uri": request.url.replace(/\?.*/s, ""),
    // Without either, the body of a DELETE would be taken for the next request.
    ...(stream && request.headers["content-length"] === undefined ? { "transfer-encoding": "chunked" } : {}),
  };
  return new Promise((resolve, reject) => {
    const call = dial(location, { method, headers });
    response.on("close", () => void call.destroy());
    call.on("error", (error) => {
      if (response.headersSent) response.destroy();
      else reject(serviceUnavailable(`error trying to reach service: ${dialText(location, error)}`, error));
    });
    call.on("response", (answer) => {
      const { statusCode = 500, headersDistinct } = answer;
      const rewrite = (url: string) => rewriteUrl(url, prefix, [hostOf(location), location.host, host]);
      const told: Record<string, string[]> = {};
      for (const [name, value] of Object.entries(endToEnd(headersDistinct)))
        if (!/^access-control-allow-(credentials|headers|methods|origin)$/.test(name)) told[name] = value;
      if (told["location"]) told["location"] = told["location"].map(rewrite);
      const html = method === "HEAD" ? undefined : rewrittenHtml(answer, rewrite);
      if (html) for (const name of ["content-length", "content-encoding"]) delete told[name];
      response.writeHead(statusCode, told);
      response.flushHeaders?.();
      copy(html ?? answer, response);
      resolve(statusCode);
    });
    if (!stream) return void call.end();
    call.flushHeaders(); // who waits for an answer before it sends is heard
    stream.pipe(call);
  });
}

/** Paths of the other side, with or without its name, as paths of ours. */
export function rewriteUrl(text: string, prefix: string, hosts: readonly string[]): string {
  const [, , authority, path = "", rest = ""] =
    /^(?:([a-z][a-z\d+.-]*:)?\/\/([^/?#]*))?([^?#]*)(.*)$/is.exec(text) ?? [];
  if (!path.startsWith("/") || (authority && !hosts.includes(authority))) return text;
  return (path.startsWith(prefix) ? path : posix.join(prefix, path)) + rest;
}

/** Undefined for what is not HTML, or is in an encoding that nobody knows. */
function rewrittenHtml(answer: IncomingMessage, rewrite: (url: string) => string): Readable | undefined {
  if (answer.headers["content-type"]?.replace(/;.*/s, "").trim() !== "text/html") return undefined;
  const encoding = answer.headers["content-encoding"] ?? "identity";
  const decoders: Record<string, () => Readable> = {
    identity: () => answer,
    gzip: createGunzip,
    deflate: createInflate,
  };
  const decoded = decoders[encoding]?.();
  if (decoded === undefined) return undefined;
  const rewriting = htmlRewriter(rewrite);
  answer.on("error", (error) => rewriting.destroy(error));
  if (decoded !== answer) answer.pipe(decoded as Transform).on("error", (error) => rewriting.destroy(error));
  return decoded.pipe(rewriting);
}

/** Rewrites the attributes that refer, tag by tag; as latin1, in which any bytes stay as they are. */
export function htmlRewriter(rewrite: (url: string) => string): Transform {
  let held = "";
  const done = (text: string) =>
    text.replace(/<[a-z][^<>]*>/gi, (tag) =>
      tag.replace(refers, (_, start: string, quote = "", url: string) => `${start}${quote}${rewrite(url)}${quote}`),
    );
  return new Transform({
    transform(chunk: Buffer, _, next) {
      held += chunk.toString("latin1");
      const open = held.lastIndexOf("<");
      const whole = open > held.lastIndexOf(">") && held.length - open < maxTagChars ? open : held.length;
      const text = done(held.slice(0, whole));
      held = held.slice(whole);
      next(null, Buffer.from(text, "latin1"));
    },
    flush: (next) => next(null, Buffer.from(done(held), "latin1")),
  });
}

const refers =
  /(\s(?:action|background|cite|classid|codebase|data|formaction|href|icon|longdesc|manifest|poster|profile|src|usemap)\s*=\s*)(["']?)([^"'\s<>]+)\2/gi;
const maxTagChars = 64 * 1024;
