import { expect, test } from "vitest";
import { reconcile, type State } from "./reconcile.ts";

const namespace = { metadata: { name: "team" }, spec: {} };
const serviceAccount = { metadata: { name: "default", namespace: "team" } };
const configMap = { metadata: { name: "kube-root-ca.crt", namespace: "team" }, data: { "ca.crt": "PEM" } };

const table: { name: string; state: Partial<State>; expected: string[] }[] = [
  { name: "a new namespace gets both", state: {}, expected: ["CreateServiceAccount", "CreateConfigMap"] },
  { name: "what is there is left alone", state: { serviceAccount, configMap }, expected: [] },
  {
    name: "another authority is put right",
    state: { serviceAccount, configMap: { ...configMap, data: { "ca.crt": "forged" } } },
    expected: ["UpdateConfigMap"],
  },
  {
    name: "a namespace that goes away gets nothing",
    state: { namespace: { ...namespace, metadata: { name: "team", deletionTimestamp: "2026-01-01T11:00:00Z" } } },
    expected: [],
  },
];

test.each(table)("$name", ({ state, expected }) => {
  const given = { namespace, serviceAccount: undefined, configMap: undefined, rootCa: "PEM", ...state };
  expect(reconcile(given).map(({ type }) => type)).toEqual(expected);
});
