import https from "node:https";
import v8 from "node:v8";
import vm from "node:vm";
import type { TlsMaterial } from "../net/tls.ts";
import type { TestApiserver } from "./testing.ts";

/** What came back; `json` parses the text. */
export interface TestResponse {
  code: number;
  headers: Record<string, string | string[] | undefined>;
  bytes: Buffer;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look where they like
  json: any;
}

export interface TestRequest {
  method?: string;
  /** Objects are sent as JSON. */
  body?: string | Buffer | object;
  headers?: Record<string, string>;
  /** Null: no certificate. */
  cert?: TlsMaterial | null;
}

/** One request as the admin, over HTTP/1.1. */
export function call(server: TestApiserver, path: string, request: TestRequest = {}): Promise<TestResponse> {
  const { method = "GET", body, headers = {}, cert = server.certs.admin } = request;
  const bytes = body === undefined || typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const url = new URL(server.url);
  // Node leaves the length out for DELETE.
  const length = bytes === undefined ? {} : { "content-length": String(Buffer.byteLength(bytes)) };
  return new Promise((resolve, reject) => {
    const outgoing = https.request(
      {
        host: url.hostname,
        port: url.port,
        path,
        method,
        headers: { ...length, ...headers },
        agent: false,
        ...tlsOf(server, cert),
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () => {
          const bytes = Buffer.concat(chunks);
          const text = bytes.toString();
          resolve({
            code: incoming.statusCode!,
            headers: incoming.headers,
            bytes,
            text,
            get json() {
              return JSON.parse(text);
            },
          });
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(bytes);
  });
}

const tlsOf = (server: TestApiserver, cert: TlsMaterial | null) =>
  cert === null ? { ca: server.certs.admin.ca } : { cert: cert.cert, key: cert.key, ca: server.certs.admin.ca };

/** An open watch: its events as they come. */
export class TestWatch {
  // biome-ignore lint/suspicious/noExplicitAny: tests look where they like
  readonly events: { type: string; object: any }[] = [];
  ended = false;
  readonly #request: ReturnType<typeof https.request>;
  #wake: (() => void) | undefined;
  #rest = "";

  constructor(server: TestApiserver, path: string, headers: Record<string, string> = {}) {
    const url = new URL(server.url);
    const options = {
      host: url.hostname,
      port: url.port,
      path,
      headers,
      agent: false,
      ...tlsOf(server, server.certs.admin),
    };
    this.#request = https.request(options, (incoming) => {
      incoming.setEncoding("utf8");
      incoming.on("data", (text: string) => this.#read(text));
      incoming.on("close", () => {
        this.ended = true;
        this.#wake?.();
      });
    });
    this.#request.on("error", () => {});
    this.#request.end();
  }

  /** Waits for what is true sooner or later; the test's own timeout is the deadline. */
  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  /** `ADDED a`, one an event. */
  get lines(): string[] {
    return this.events.map(({ type, object }) => `${type} ${object.metadata?.name ?? object.reason ?? ""}`.trim());
  }

  close(): void {
    this.#request.destroy();
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) this.events.push(JSON.parse(line));
    this.#wake?.();
  }
}

export const configMap = (name: string, extra: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  ...extra,
});

export const pod = (name: string, extra: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: { containers: [{ name: "c", image: "kubelab/echo" }], ...extra },
});

/** Live bytes: what two collections leave. */
export function liveBytes(): number {
  v8.setFlagsFromString("--expose-gc");
  const gc = vm.runInNewContext("gc") as () => void;
  gc();
  gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
