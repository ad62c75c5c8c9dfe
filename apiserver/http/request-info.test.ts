import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { negotiate } from "./negotiate.ts";
import { parseRequest } from "./request-info.ts";

describe("a request asks for", () => {
  test.each([
    ["GET", "/api/v1/pods", "list v1 pods"],
    ["GET", "/api/v1/namespaces/a/pods", "list v1 a pods"],
    ["GET", "/api/v1/namespaces/a/pods?watch=true", "watch v1 a pods"],
    ["GET", "/api/v1/namespaces/a/pods?watch=1", "watch v1 a pods"],
    ["GET", "/api/v1/namespaces/a/pods?watch=True", "watch v1 a pods"],
    ["GET", "/api/v1/namespaces/a/pods?watch=false", "list v1 a pods"],
    ["GET", "/api/v1/namespaces/a/pods/b", "get v1 a pods b"],
    ["GET", "/api/v1/namespaces/a/pods/b/log?follow=true", "get v1 a pods b log"],
    ["POST", "/api/v1/namespaces/a/pods/b/binding", "create v1 a pods b binding"],
    ["PUT", "/apis/apps/v1/namespaces/a/deployments/b/scale", "update apps v1 a deployments b scale"],
    ["PATCH", "/apis/apps/v1/namespaces/a/deployments/b", "patch apps v1 a deployments b"],
    ["DELETE", "/api/v1/nodes/n", "delete v1 nodes n"],
    ["DELETE", "/api/v1/namespaces/a/pods", "deletecollection v1 a pods"],
    ["GET", "/api/v1/namespaces", "list v1 namespaces"],
    ["GET", "/api/v1/namespaces/a", "get v1 a namespaces a"],
    ["PUT", "/api/v1/namespaces/a/finalize", "update v1 a namespaces a finalize"],
    ["PATCH", "/api/v1/namespaces/a/status", "patch v1 a namespaces a status"],
    ["GET", "/api/v1/namespaces/a/pods/%62", "get v1 a pods b"],
    ["GET", "/api/v1//nodes/", "list v1 nodes"],
    ["GET", "/api/v1/nodes/n/proxy/a/b", "get v1 nodes n proxy"],
    ["HEAD", "/api/v1/namespaces/a/pods/https:b:1/proxy", "get v1 a pods https:b:1 proxy"],
    ["DELETE", "/api/v1/namespaces/a/services/b/proxy/?x=1", "delete v1 a services b proxy"],
    ["OPTIONS", "/api/v1/nodes/n/proxy/", "v1 nodes n proxy"],
  ])("%s %s", (method, url, expected) => {
    const info = parseRequest(method, url);
    assert.ok(info.type === "Resource");
    const { verb, target } = info;
    const { group, version, namespace, resource, name, subresource } = target;
    assert.equal([verb, group, version, namespace, resource, name, subresource].filter(Boolean).join(" "), expected);
  });

  test.each([
    ["GET", "/", "Path"],
    ["GET", "/api", "Path"],
    ["GET", "/api/v1", "Path"],
    ["GET", "/apis/apps/v1", "Path"],
    ["GET", "/healthz?verbose", "Path"],
    ["GET", "/api/v1/%zz", "Bad"],
    ["GET", "/api/v1/namespaces/a%2Fb/pods", "Bad"],
    ["GET", "/api/v1/pods/%00", "Bad"],
    ["BREW", "/api/v1/pods", "Bad"],
    ["BREW", "/api/v1/nodes/n/proxy/", "Bad"],
    ["GET", "/api/v1/nodes/a%2Fb/proxy/", "Bad"],
  ])("%s %s is %s", (method, url, type) => {
    assert.equal(parseRequest(method, url).type, type);
  });

  test("what follows /proxy stays as it was sent", () => {
    const info = parseRequest("GET", "/api/v1/namespaces/%61/pods/b/proxy//x/../%2e%2F%zz/?q=%zz+");
    assert.ok(info.type === "Resource");
    const proxied = { prefix: "/api/v1/namespaces/%61/pods/b/proxy", rest: "//x/../%2e%2F%zz/?q=%zz+" };
    assert.deepEqual(info.options.proxied, proxied);
  });

  test("options from the query; what is unknown stays out of the way", () => {
    const info = parseRequest("GET", "/api/v1/pods?labelSelector=a%3Db&limit=5&dryRun=All&dryRun=x&nope=1");
    assert.ok(info.type === "Resource");
    const { labelSelector, limit, dryRun } = info.options;
    assert.deepEqual([labelSelector, limit, dryRun], ["a=b", "5", ["All", "x"]]);
  });
});

test.each([
  [undefined, "Object"],
  ["", "Object"],
  ["*/*", "Object"],
  ["application/json", "Object"],
  ["application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Table"],
  ["application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "Object"],
  ["application/vnd.kubernetes.protobuf,application/json", "Object"],
  ["application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "PartialObjectMetadata"],
  ["application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json", "APIGroupDiscoveryList"],
  ["application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json", "Object"],
  ["application/vnd.kubernetes.protobuf", undefined],
  ["text/html", undefined],
])("Accept %s gets %s", (accept, expected) => {
  assert.equal(negotiate(accept)?.as, expected);
});
