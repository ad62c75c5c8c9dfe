import { describe, expect, test } from "vitest";
import { errorText } from "../../apimachinery/field-error.ts";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { make, row, type Told, told } from "../testing.ts";

describe("every problem is told, with its path", () => {
  test.each<Told>([
    [
      "a class of a controller that is no path, for nobody",
      "IngressClass",
      { controller: "acme.io/a b", parameters: { apiGroup: "", kind: "K", name: "..", scope: "Namespace" } },
      [
        `spec.controller: Invalid value: "a b": Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')`,
        expect.stringMatching(/^spec.parameters.apiGroup: Invalid value: "": a lowercase RFC 1123 subdomain/) as string,
        `spec.parameters.name: Invalid value: "..": may not be '..'`,
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
      ],
    ],
    [
      "a host that is an address, and a backend of nothing first",
      "Ingress",
      { defaultBackend: {}, rules: [{ host: "1.2.3.4" }, { host: "a.*.b" }] },
      [
        'spec.defaultBackend: Invalid value: "": resource or service backend is required',
        'spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address',
        expect.stringMatching(
          /^spec.rules\[1\].host: Invalid value: "a\.\*\.b": a wildcard DNS-1123 subdomain must start with/,
        ) as string,
      ],
    ],
    [
      "ports of no protocol that end before they begin",
      "NetworkPolicy",
      { ingress: [{ ports: [{ protocol: "ICMP", port: 80, endPort: 79 }] }], policyTypes: ["Both"] },
      [
        'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"',
        "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
        'spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"',
      ],
    ],
    [
      "nothing at all",
      "Ingress",
      { defaultBackend: undefined, rules: undefined },
      ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"],
    ],
    [
      "ranges that begin with zeros, one of them of IPv6",
      "NetworkPolicy",
      { ingress: [{ from: [{ ipBlock: { cidr: "010.0.0.0/8", except: ["10.000.1.0/24", "x"] } }] }] },
      [
        'spec.ingress[0].from[0].ipBlock.except[1]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      ],
    ],
    [
      "two ranges of one family",
      "ServiceCIDR",
      { cidrs: ["10.0.0.0/8", "11.0.0.0/8"] },
      [
        'spec.cidrs: Invalid value: {"CIDRs":["10.0.0.0/8","11.0.0.0/8"]}: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64',
      ],
    ],
    [
      "ranges written another way",
      "ServiceCIDR",
      { cidrs: ["10.0.0.1/8", "2001:DB8::/64"] },
      [
        'spec.cidrs[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length',
        'spec.cidrs[1]: Invalid value: "2001:DB8::/64": must be in canonical form ("2001:db8::/64")',
      ],
    ],
    [
      "an address of nobody",
      "IPAddress",
      { parentRef: { group: "A", resource: "", name: "a/b", namespace: "a%b" } },
      [
        expect.stringMatching(/^spec.parentRef.group: Invalid value: "A": a lowercase RFC 1123 subdomain/) as string,
        "spec.parentRef.resource: Required value",
        `spec.parentRef.name: Invalid value: "a/b": may not contain '/'`,
        `spec.parentRef.namespace: Invalid value: "a%b": may not contain '%'`,
      ],
    ],
  ])("%s", (_, kind, change, expected) => expect(told(kind, change)).toEqual(expected));
});

describe("a change", () => {
  const wild = { host: "*.a.b", http: { paths: [] } };
  const ranges = "spec.cidrs[0]: Invalid value: ";
  test.each<[string, string, object, object, string[]]>([
    [
      "may add a family to a range",
      "ServiceCIDR",
      { cidrs: ["10.0.0.0/8"] },
      { cidrs: ["10.0.0.0/8", "fd00::/112"] },
      [],
    ],
    [
      "may not add another range of its family",
      "ServiceCIDR",
      { cidrs: ["10.0.0.0/8"] },
      { cidrs: ["10.0.0.0/8", "11.0.0.0/8"] },
      [expect.stringContaining("may specify no more than one IP for each IP family") as string],
    ],
    [
      "may not move a range",
      "ServiceCIDR",
      { cidrs: ["10.0.0.0/8"] },
      { cidrs: ["11.0.0.0/8"] },
      [`${ranges}"11.0.0.0/8": field is immutable`],
    ],
    [
      "may not take one away",
      "ServiceCIDR",
      { cidrs: ["10.0.0.0/8", "fd00::/112"] },
      { cidrs: ["10.0.0.0/8"] },
      ['spec.cidrs: Invalid value: ["10.0.0.0/8"]: field is immutable'],
    ],
    [
      "may not give an address to another",
      "IPAddress",
      { parentRef: { resource: "services", namespace: "n", name: "a" } },
      { parentRef: { resource: "services", namespace: "n", name: "b" } },
      [
        'spec.parentRef: Invalid value: {"Group":"","Resource":"services","Namespace":"n","Name":"b"}: field is immutable',
      ],
    ],
    ["may leave a wildcard without paths", "Ingress", { rules: [wild] }, { rules: [wild, { host: "c.d" }] }, []],
    [
      "may not bring one",
      "Ingress",
      { rules: [{ host: "c.d" }] },
      { rules: [wild] },
      ["spec.rules[0].http.paths: Required value"],
    ],
    ["may leave a secret's wrong name", "Ingress", { tls: [{ secretName: "A" }] }, { tls: [{ secretName: "B" }] }, []],
  ])("%s", (_, kind, before, after, expected) =>
    expect(row(kind).validateUpdate(make(kind, after), make(kind, before)).map(errorText)).toEqual(expected),
  );
});

describe("an address is written in one way", () => {
  test.each([
    ["10.0.0.1", []],
    ["2001:db8::1", []],
    ["10.0.0.01", ["must not have leading 0s"]],
    ["2001:DB8::1", ['must be in canonical form ("2001:db8::1")']],
    ["::ffff:1.2.3.4", ["must not be an IPv4-mapped IPv6 address"]],
    ["fe80::1%eth0", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]],
  ])("%s", (name, expected) => {
    const address = { ...make("IPAddress"), metadata: { name } } as KubernetesObject;
    expect(
      row("IPAddress")
        .validate(address)
        .map((e) => e.detail),
    ).toEqual(expected);
  });
});
