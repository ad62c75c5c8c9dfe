import { describe, expect, test } from "vitest";
import * as field from "./field-error.ts";
import * as status from "./status.ts";
import { age, canonicalTime, humanDuration } from "./time.ts";

const pods = { group: "", resource: "pods" };
const deployments = { group: "apps", resource: "deployments" };

describe("errors carry upstream's code, reason, text and details", () => {
  test.each([
    [status.notFound(pods, "x"), 404, "NotFound", 'pods "x" not found', { name: "x", kind: "pods" }],
    [
      status.notFound(deployments, "x"),
      404,
      "NotFound",
      'deployments.apps "x" not found',
      { name: "x", group: "apps", kind: "deployments" },
    ],
    [status.alreadyExists(pods, "x"), 409, "AlreadyExists", 'pods "x" already exists', { name: "x", kind: "pods" }],
    [
      status.conflict(pods, "x"),
      409,
      "Conflict",
      'Operation cannot be fulfilled on pods "x": the object has been modified; please apply your changes to the latest version and try again',
      { name: "x", kind: "pods" },
    ],
    [status.unauthorized(), 401, "Unauthorized", "Unauthorized", undefined],
    [status.forbidden(pods, "x", "no"), 403, "Forbidden", 'pods "x" is forbidden: no', { name: "x", kind: "pods" }],
    [status.forbidden({ group: "", resource: "" }, "", "no"), 403, "Forbidden", "forbidden: no", { kind: "" }],
    [
      status.methodNotSupported(pods, "patch"),
      405,
      "MethodNotAllowed",
      'patch is not supported on resources of kind "pods"',
      { kind: "pods" },
    ],
    [
      status.tooLargeResourceVersion(9, 3),
      504,
      "Timeout",
      "Timeout: Too large resource version: 9, current: 3",
      { retryAfterSeconds: 1, causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }] },
    ],
    [
      status.internalError(new Error("x")),
      500,
      "InternalError",
      "Internal error occurred: x",
      { causes: [{ message: "x" }] },
    ],
  ])("%s", (error, code, reason, message, details) => {
    expect(error.status).toEqual({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      reason,
      ...(details ? { details } : {}),
      code,
    });
  });

  test("Invalid lists every field, in brackets when they are several", () => {
    const one = status.invalid({ group: "", kind: "Pod" }, "x", [field.required("spec.a")]);
    expect(one.message).toBe('Pod "x" is invalid: spec.a: Required value');
    const two = status.invalid({ group: "apps", kind: "Deployment" }, "x", [
      field.invalid("spec.b", { a: 1 }, "no"),
      field.notSupported("spec.c", "z", ["x", "y"]),
      field.tooMany("spec.d", 3, 1),
      field.tooLong("spec.e", 5),
      field.forbidden("spec.f", "not now"),
    ]);
    expect(two.message).toBe(
      'Deployment.apps "x" is invalid: [spec.b: Invalid value: {"a":1}: no, spec.c: Unsupported value: "z": supported values: "x", "y", spec.d: Too many: 3: must have at most 1 item, spec.e: Too long: may not be more than 5 bytes, spec.f: Forbidden: not now]',
    );
    expect(two.status.details?.causes?.[1]).toEqual({
      reason: "FieldValueNotSupported",
      message: 'Unsupported value: "z": supported values: "x", "y"',
      field: "spec.c",
    });
  });

  test("anything thrown has a Status; predicates look at the reason", () => {
    expect(status.statusOf(new TypeError("boom")).message).toBe("Internal error occurred: boom");
    expect(status.isNotFound(status.notFound(pods, "x"))).toBe(true);
    expect(status.isNotFound(new Error("x"))).toBe(false);
    expect(status.isExpired(status.failure(410, "Gone", "x")) && status.isExpired(status.expired("x"))).toBe(true);
  });
});

test.each([
  [-500, "0s"],
  [5_000, "5s"],
  [119_000, "119s"],
  [120_000, "2m"],
  [125_000, "2m5s"],
  [11 * 60_000, "11m"],
  [3.5 * 3_600_000, "3h30m"],
  [30 * 3_600_000, "30h"],
  [50 * 3_600_000, "2d2h"],
  [20 * 86_400_000, "20d"],
  [800 * 86_400_000, "2y70d"],
])("%d ms ago is %s", (ms, text) => expect(humanDuration(ms)).toBe(text));

test("times are RFC 3339 in UTC", () => {
  expect(canonicalTime("2026-01-02T03:04:05+01:00", false)).toBe("2026-01-02T02:04:05Z");
  expect(canonicalTime("2026-01-02T03:04:05.1234567Z", true)).toBe("2026-01-02T03:04:05.123456Z");
  expect(() => canonicalTime("x", false)).toThrow(
    'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"',
  );
  expect(age(undefined, 0)).toBe("<unknown>");
});
