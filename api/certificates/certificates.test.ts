import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import { requestPem } from "../examples.testing.ts";
import { make, row, told, toldOfStatus } from "../testing.ts";
import { statusPart } from "./approval.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
/** The example with its last byte changed, and with its key. */
const forged = requestPem.replace("YKii", "YKij");

test.each<[title: string, change: object, problems: string[]]>([
  ["what its key signed", {}, []],
  ["no request", { request: base64("x") }, ["PEM block type must be CERTIFICATE REQUEST"]],
  ["what its key did not sign", { request: base64(forged) }, ["x509: ECDSA verification failure"]],
  [
    "half a request",
    { request: base64(requestPem.replace(/\n[^\n]+YKii\n/s, "\n")) },
    ["asn1: syntax error: data truncated"],
  ],
])("a request is %s", (_, change, expected) => {
  const problems = row("CertificateSigningRequest").validate(make("CertificateSigningRequest", change));
  expect(problems.map(({ field, detail }) => `${field}: ${detail}`)).toEqual(expected.map((p) => `spec.request: ${p}`));
});

test("signers are domains with paths, usages are known, and each is named once", () => {
  const at = "spec.signerName: Invalid value:";
  expect(told("CertificateSigningRequest", { signerName: "a_b/c..d", usages: ["any", "any"] })).toEqual([
    'spec.usages[1]: Duplicate value: "any"',
    expect.stringContaining(`${at} "a_b": validating label "a_b": a lowercase RFC 1123 label`),
    `${at} "a_b": should be a domain with at least two segments separated by dots`,
    expect.stringContaining(`${at} "c..d": validating label "": a lowercase RFC 1123 subdomain`),
  ]);
});

test("a decision is made once, and what is issued stays", () => {
  const object = (status: object) => ({ ...make("CertificateSigningRequest"), status }) as never;
  const said = (status: object, before: object) =>
    [...statusPart.validate(object(status), object(before))].map(errorText);
  const approved = { type: "Approved", status: "True" };
  const denied = { type: "Denied", status: "False" };
  expect(
    said({ conditions: [approved, denied, approved, { type: "" }] }, { conditions: [{ type: "Failed" }] }),
  ).toEqual([
    'status.conditions[1].status: Unsupported value: "False": supported values: "True"',
    'status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
    'status.conditions: Invalid value: "Approved": Approved and Denied conditions are mutually exclusive',
    'status.conditions[2].type: Duplicate value: "Approved"',
    "status.conditions[3].type: Required value",
    "status.conditions[3].status: Required value",
    'status.conditions: Forbidden: updates may not remove a condition of type "Failed"',
    'status.conditions: Forbidden: updates may not add a condition of type "Approved"',
    'status.conditions: Forbidden: updates may not add a condition of type "Denied"',
  ]);
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ format: "pem", type: "pkcs8" }) as string;
  const certificate = 'status.certificate: Invalid value: "<certificate data>":';
  expect(said({ certificate: base64(key) }, {})).toEqual([
    `${certificate} only CERTIFICATE PEM blocks are allowed, found "PRIVATE KEY"`,
  ]);
  const empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  expect(said({ certificate: base64(empty) }, { certificate: base64("x") })).toEqual([
    `${certificate} x509: malformed certificate`,
    "status.certificate: Forbidden: updates may not modify existing certificate content",
  ]);
});

test("runtimes have a handler, and count what they need", () => {
  const overhead = { podFixed: { cpu: "-1", gpus: "1" } };
  const tolerations = [
    { key: "a", operator: "Exists", effect: "NoSchedule" },
    { key: "a", operator: "Exists", effect: "NoSchedule", tolerationSeconds: 1 },
  ];
  expect(told("RuntimeClass", { handler: "", overhead, scheduling: { tolerations } })).toEqual([
    expect.stringContaining('handler: Invalid value: "": a lowercase RFC 1123 label'),
    'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
    expect.stringContaining("overhead.limits[gpus]"),
    expect.stringContaining("overhead.limits[gpus]"),
    expect.stringContaining("scheduling.tolerations[1].effect"),
    expect.stringContaining("scheduling.tolerations[1]: Duplicate value"),
  ]);
});

test("a budget's conditions are whole, and a Lease has no strategy of its own", () => {
  expect(toldOfStatus("PodDisruptionBudget", { conditions: [{ type: "A", status: "True" }] })).toEqual([
    "conditions[0].lastTransitionTime: Required value: must be set",
    "conditions[0].reason: Required value: must be set",
  ]);
  expect(make("Lease", { strategy: "OldestEmulationVersion" })).not.toHaveProperty("spec.strategy");
});
