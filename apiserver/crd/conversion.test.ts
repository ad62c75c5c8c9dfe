import assert from "node:assert/strict";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, test } from "vitest";
import type { ConversionReview } from "../../api/generated/apiextensions-v1.ts";
import { call, TestWatch } from "../http.testing.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";
import { define, definition, definitionsPath, patchAs, preserving } from "./testing.ts";

let server: TestApiserver;
let webhook: https.Server;
let reviews: ConversionReview[] = [];
/** What the webhook answers; v1 has `hostPort`, v2 has `host` and `port`. */
let answer: (review: ConversionReview) => unknown;

const convert = ({ request }: ConversionReview) => ({
  uid: request!.uid,
  result: { status: "Success" },
  convertedObjects: request!.objects.map((object) => {
    const { hostPort, host, port, ...rest } = object as Record<string, string>;
    const own = request!.desiredAPIVersion.endsWith("/v1")
      ? { hostPort: `${host}:${port}` }
      : { host: hostPort!.split(":")[0], port: hostPort!.split(":")[1] };
    return { ...rest, ...own, apiVersion: request!.desiredAPIVersion };
  }),
});

beforeAll(async () => {
  server = await startTestApiserver();
  const { cert, key } = await server.authority.issue({
    commonName: "webhook",
    dnsNames: ["conversion.default.svc"],
    ipAddresses: ["127.0.0.1"],
    usages: ["server"],
  });
  webhook = https.createServer({ cert, key }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as ConversionReview;
      reviews.push(review);
      const { kind, apiVersion } = review;
      response.end(JSON.stringify({ kind, apiVersion, response: answer(review) }));
    });
  });
  await new Promise<void>((resolve) => webhook.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  webhook?.close();
  await server?.close();
});

const at = (version: string, plural: string, name = "") =>
  `/apis/example.com/${version}/${plural}${name && `/${name}`}`;
const caBundle = () => Buffer.from(server.authority.cert).toString("base64");
const port = () => (webhook.address() as AddressInfo).port;

function converted(plural: string, kind: string, clientConfig: object) {
  const version = (name: string, storage: boolean) => ({
    name,
    served: true,
    storage,
    schema: { openAPIV3Schema: preserving },
  });
  const conversion = { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1"] } };
  const spec = { scope: "Cluster", conversion, versions: [version("v1", true), version("v2", false)] };
  return definition(plural, kind, undefined, { spec });
}

describe("[CustomResourceConversionWebhook]", () => {
  const make = (version: string, kind: string, name: string, more: object) =>
    call(server, at(version, `${kind.toLowerCase()}s`), {
      method: "POST",
      body: { apiVersion: `example.com/${version}`, kind, metadata: { name }, ...more },
    });

  test("should be able to convert from CR v1 to CR v2", async () => {
    answer = convert;
    await define(
      server,
      converted("hosts", "Host", { url: `https://127.0.0.1:${port()}/convert`, caBundle: caBundle() }),
    );
    assert.equal((await make("v1", "Host", "a", { hostPort: "a.example:1" })).code, 201);
    const { json } = await call(server, at("v2", "hosts", "a"));
    assert.deepEqual(
      [json.apiVersion, json.host, json.port, json.hostPort],
      ["example.com/v2", "a.example", "1", undefined],
    );
    const made = await make("v2", "Host", "b", { host: "b.example", port: "2" });
    assert.deepEqual([made.code, made.json.host], [201, "b.example"]);
    assert.equal((await call(server, at("v1", "hosts", "b"))).json.hostPort, "b.example:2");
    const patched = await call(server, at("v2", "hosts", "b"), patchAs("merge-patch+json", { port: "3" }));
    assert.deepEqual([patched.json.port, patched.json.metadata.generation], ["3", 2]);
    assert.equal((await call(server, at("v1", "hosts", "b"))).json.hostPort, "b.example:3");
    assert.equal(reviews[0]!.apiVersion, "apiextensions.k8s.io/v1");
  });

  test("should be able to convert a non homogeneous list of CRs", async () => {
    reviews = [];
    await make("v1", "Host", "c", { hostPort: "c.example:4" });
    await make("v2", "Host", "d", { host: "d.example", port: "5" });
    reviews = [];
    const { json } = await call(server, at("v2", "hosts"));
    assert.deepEqual(
      json.items.map(({ host }: { host: string }) => host),
      ["a.example", "b.example", "c.example", "d.example"],
    );
    assert.ok(reviews.length <= 1, "one question for all that are not known yet");
    const watch = new TestWatch(server, `${at("v2", "hosts")}?watch=true`);
    await call(server, at("v1", "hosts", "c"), patchAs("merge-patch+json", { hostPort: "c.example:6" }));
    await watch.until(() => watch.events.length >= 5);
    assert.deepEqual(
      watch.events.map(({ object }) => object.port),
      ["1", "3", "4", "5", "6"],
    );
    watch.close();
  });

  test("a Service's ready endpoint is dialled", async () => {
    const service = { metadata: { name: "conversion" }, spec: { ports: [{ port: 443 }] } };
    assert.equal(
      (await call(server, "/api/v1/namespaces/default/services", { method: "POST", body: service })).code,
      201,
    );
    const slice = {
      metadata: { name: "conversion-1", labels: { "kubernetes.io/service-name": "conversion" } },
      addressType: "IPv4",
      endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
      ports: [{ port: port() }],
    };
    const made = await call(server, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
      method: "POST",
      body: slice,
    });
    assert.equal(made.code, 201, made.text);
    await define(
      server,
      converted("ports", "Port", {
        service: { namespace: "default", name: "conversion", path: "/c" },
        caBundle: caBundle(),
      }),
    );
    assert.equal((await make("v2", "Port", "p", { host: "h", port: "9" })).json.host, "h");
    assert.equal((await call(server, at("v1", "ports", "p"))).json.hostPort, "h:9");
  });

  test("a webhook that fails, lies or is not there is told to the client, and the definition can go all the same", async () => {
    const text = async () => (await call(server, at("v2", "hosts"))).json.message as string;
    const touch = () => call(server, at("v1", "hosts", "a"), patchAs("merge-patch+json", { touched: reviews.length }));
    const begin = "Internal error occurred: conversion webhook for example.com/v1, Kind=Host failed: ";
    answer = ({ request }) => ({ uid: request!.uid, result: { status: "Failure", message: "no" } });
    await touch();
    assert.equal(await text(), `${begin}no`);
    answer = () => ({ uid: "odd", result: { status: "Success" } });
    assert.match(await text(), /expected response.uid=/);
    answer = ({ request }) => ({ uid: request!.uid, result: { status: "Success" }, convertedObjects: [] });
    assert.equal(await text(), `${begin}expected 1 converted objects, got 0`);
    const gone = { spec: { conversion: { webhook: { clientConfig: { url: "https://127.0.0.1:1/" } } } } };
    await call(server, `${definitionsPath}/hosts.example.com`, patchAs("merge-patch+json", gone));
    assert.match(await text(), /failed: Post "https:\/\/127.0.0.1:1\/\?timeout=30s": connect ECONNREFUSED/);
    const watch = new TestWatch(
      server,
      `${definitionsPath}?watch=true&fieldSelector=metadata.name%3Dhosts.example.com`,
    );
    await call(server, `${definitionsPath}/hosts.example.com`, { method: "DELETE" });
    await watch.until(() => watch.lines.includes("DELETED hosts.example.com"));
    watch.close();
  });
});
