import { expect, test } from "vitest";
import type { KubernetesObject } from "../../apimachinery/object.ts";
import { make, row, type Told, told, toldOfStatus } from "../testing.ts";

const label = (at: string, value: string) =>
  expect.stringContaining(`${at}: Invalid value: "${value}": a lowercase RFC 1123 label`) as string;
const exactly = { deviceClassName: "gpu" };
const devices = (given: object) => ({ devices: { requests: [{ name: "a", exactly }], ...given } });
const slice = (...list: object[]) => ({ devices: list });
const longName = "n".repeat(33);

test.each<Told>([
  [
    "selectors that are none, do not compile, or choose nothing",
    "DeviceClass",
    { selectors: [{}, { cel: { expression: "device.driver ==" } }, { cel: { expression: "'gpu'" } }] },
    [
      "spec.selectors[0].cel: Required value",
      expect.stringMatching(
        /^spec.selectors\[1\].cel.expression: Invalid value: "device.driver ==": compilation failed/,
      ),
      `spec.selectors[2].cel.expression: Invalid value: "'gpu'": must evaluate to bool or the unknown type, not string`,
    ] as string[],
  ],
  [
    "settings for no driver, of no object, and of none",
    "DeviceClass",
    { config: [{}, { opaque: { driver: "", parameters: [] } }, { opaque: { driver: "a.io" } }] },
    [
      "spec.config[0].opaque: Required value",
      "spec.config[1].opaque.driver: Required value",
      'spec.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
      "spec.config[2].opaque.parameters: Required value",
    ],
  ],
  [
    "requests without a name, for nothing, for two things, and twice",
    "ResourceClaim",
    {
      devices: {
        requests: [{ name: "", exactly }, { name: "b" }, { name: "b", exactly, firstAvailable: [{ name: "x" }] }],
      },
    },
    [
      label("spec.devices.requests[0].name", ""),
      "spec.devices.requests[1]: Required value: exactly one of `exactly` or `firstAvailable` is required",
      "spec.devices.requests[2].firstAvailable[0].deviceClassName: Required value",
      'spec.devices.requests[2]: Invalid value: "null": exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set',
      'spec.devices.requests[2].name: Duplicate value: "b"',
    ],
  ],
  [
    "alternatives of no class, and counts that do not count",
    "ResourceClaim",
    {
      devices: {
        requests: [
          {
            name: "a",
            firstAvailable: [
              { name: "x", deviceClassName: "", count: -1 },
              { name: "x", deviceClassName: "gpu", allocationMode: "All", count: 2 },
              { name: "y", deviceClassName: "gpu", allocationMode: "Some" },
            ],
          },
        ],
      },
    },
    [
      "spec.devices.requests[0].firstAvailable[0].deviceClassName: Required value",
      "spec.devices.requests[0].firstAvailable[0].count: Invalid value: -1: must be greater than zero",
      "spec.devices.requests[0].firstAvailable[1].count: Invalid value: 2: must not be specified when allocationMode is 'All'",
      'spec.devices.requests[0].firstAvailable[1].name: Duplicate value: "x"',
      'spec.devices.requests[0].firstAvailable[2].allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
    ],
  ],
  [
    "constraints of what was not asked for, by attributes of no domain",
    "ResourceClaim",
    devices({
      constraints: [{ requests: ["a", "a", "b", "a/b/c"], matchAttribute: "model" }, { matchAttribute: "a.io/1" }, {}],
      config: [{ requests: ["a/x"], opaque: { driver: "a.io", parameters: { x: 1 } } }],
    }),
    [
      'spec.devices.constraints[0].requests[1]: Duplicate value: "a"',
      ...["b", "a/b/c"].map(
        (name, i) =>
          `spec.devices.constraints[0].requests[${i + 2}]: Invalid value: "${name}": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`,
      ),
      'spec.devices.constraints[0].matchAttribute: Invalid value: "model": must include a domain',
      expect.stringMatching(
        /^spec.devices.constraints\[1\].matchAttribute: Invalid value: "1": a valid C identifier must/,
      ),
      "spec.devices.constraints[2].matchAttribute: Required value",
      expect.stringMatching(/^spec.devices.config\[0\].requests\[0\]: Invalid value: "a\/x": must be the name of a/),
    ] as string[],
  ],
  [
    "a template that names its claims",
    "ResourceClaimTemplate",
    { metadata: { name: "x", labels: { "-": "a" } } },
    [
      expect.stringMatching(/^spec.metadata.labels: Invalid value: "-": name part must consist/),
      "spec.metadata.name: Forbidden: cannot be set",
    ] as string[],
  ],
  [
    "devices that are nowhere, of a pool of no name",
    "ResourceSlice",
    { nodeName: undefined, allNodes: false, driver: "", pool: { name: "a//b", resourceSliceCount: 0, generation: -1 } },
    [
      "spec.driver: Required value",
      expect.stringMatching(/^spec.pool.name: Invalid value: "": a lowercase RFC 1123 subdomain/),
      "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
      "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
      "spec.allNodes: Invalid value: false: must be either unset or set to true",
      "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
    ] as string[],
  ],
  [
    "devices that are in two places",
    "ResourceSlice",
    { nodeName: "n", nodeSelector: { nodeSelectorTerms: [] } },
    [
      "spec.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term",
      "spec.nodeSelector.nodeSelectorTerms: Invalid value: []: must have exactly one node selector term",
      'spec: Invalid value: "{`nodeName`, `nodeSelector`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set',
    ],
  ],
  [
    "attributes of no value, of two, and of no version",
    "ResourceSlice",
    slice(
      { name: "A" },
      {
        name: "d",
        attributes: {
          a: {},
          b: { string: "x", int: 1 },
          c: { version: "1.02.3" },
          d: { version: "1.2.3-rc.1+b" },
          "/e": { bool: true },
          [longName]: { string: "s".repeat(65) },
        },
        capacity: { "a.io/": { value: "1" } },
      },
      { name: "d" },
    ),
    [
      label("spec.devices[0].name", "A"),
      "spec.devices[1].attributes[a]: Required value: exactly one value must be specified",
      'spec.devices[1].attributes[b]: Invalid value: {"string":"x","int":1}: exactly one value must be specified',
      'spec.devices[1].attributes[c].version: Invalid value: "1.02.3": must be a string compatible with semver.org spec 2.0.0',
      "spec.devices[1].attributes: Required value: the domain must not be empty",
      "spec.devices[1].attributes: Too long: may not be more than 32 bytes",
      `spec.devices[1].attributes[${longName}].string: Too long: may not be more than 64 bytes`,
      "spec.devices[1].capacity: Required value: the name must not be empty",
      'spec.devices[2].name: Duplicate value: "d"',
    ],
  ],
])("%s", (_, kind, change, expected) => expect(told(kind, change)).toEqual(expected));

const got = { request: "a", driver: "a.io", pool: "p", device: "d" };
const user = { resource: "pods", name: "p", uid: "u" };
const allocation = { devices: { results: [got] } };

test.each<[title: string, status: object, before: object, problems: string[]]>([
  ["what was asked for, for whom", { allocation, reservedFor: [user] }, {}, []],
  [
    "reserved without being there, for nobody, and twice",
    { reservedFor: [{ ...user, name: "" }, user] },
    {},
    [
      "reservedFor[0].name: Required value",
      'reservedFor[1].uid: Duplicate value: "u"',
      "reservedFor: Forbidden: may not be specified when `allocated` is not set",
    ],
  ],
  [
    "what nobody asked for, from nowhere",
    {
      allocation: {
        devices: {
          results: [{ request: "b", driver: "a.io", pool: "", device: "D" }],
          config: [{ source: "FromUser", opaque: { driver: "a.io", parameters: {} } }, { source: "" }],
        },
        nodeSelector: { nodeSelectorTerms: [] },
      },
    },
    {},
    [
      `allocation.devices.results[0].request: Invalid value: "b": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`,
      "allocation.devices.results[0].pool: Required value",
      label("allocation.devices.results[0].device", "D"),
      'allocation.devices.config[0].source: Unsupported value: "FromUser": supported values: "FromClaim", "FromClass"',
      "allocation.devices.config[1].source: Required value",
      "allocation.devices.config[1].opaque: Required value",
      "allocation.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term",
    ],
  ],
  [
    "something else than before",
    { allocation: { devices: { results: [{ ...got, device: "e" }] } } },
    { allocation },
    [
      'allocation: Invalid value: {"devices":{"results":[{"request":"a","driver":"a.io","pool":"p","device":"e"}]}}: field is immutable',
    ],
  ],
  [
    "devices that say something wrong, and one that is another's",
    {
      allocation,
      devices: [
        {
          ...got,
          conditions: [{ type: "Ready", status: "Yes", reason: "1" }],
          data: [],
          networkData: { interfaceName: "i".repeat(257), ips: ["10.0.0.1", "10.0.0.7/24", "10.0.0.7/24"] },
        },
        { ...got, device: "e" },
      ],
    },
    {},
    [
      'devices[0].conditions[0].status: Unsupported value: "Yes": supported values: "False", "True", "Unknown"',
      "devices[0].conditions[0].lastTransitionTime: Required value: must be set",
      expect.stringMatching(/^devices\[0\].conditions\[0\].reason: Invalid value: "1": a condition reason must start/),
      'devices[0].data: Invalid value: "<value omitted>": must be a valid JSON object',
      "devices[0].networkData.interfaceName: Too long: may not be more than 256 bytes",
      'devices[0].networkData.ips[0]: Invalid value: "10.0.0.1": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
      'devices[0].networkData.ips[2]: Duplicate value: "10.0.0.7/24"',
      'devices[1]: Invalid value: "a.io/p/e": must be an allocated device in the claim',
    ] as string[],
  ],
])("a claim got %s", (_, status, before, expected) => {
  expect(toldOfStatus("ResourceClaim", status, before, devices({}))).toEqual(expected);
});

test("what is taken away says nothing any more, and nobody new comes to what is deleted", () => {
  const { prepareForStatusUpdate, validateStatusUpdate } = row("ResourceClaim");
  const old = { ...make("ResourceClaim", devices({})), status: { allocation, devices: [got] } } as KubernetesObject;
  const next = { ...structuredClone(old), status: { devices: [got] } } as KubernetesObject;
  prepareForStatusUpdate(next, old);
  expect(next).toMatchObject({ status: {} });
  expect(next).not.toHaveProperty("status.devices");
  const reserved = { ...structuredClone(old), status: { allocation, reservedFor: [user] } } as KubernetesObject;
  reserved.metadata.deletionTimestamp = "2025-01-01T00:00:00Z";
  expect(validateStatusUpdate(reserved, old).map(({ field }) => field)).toContain("status.reservedFor");
});

test("fields of gates that are off are dropped", () => {
  const claim = make(
    "ResourceClaim",
    devices({
      requests: [{ name: "a", exactly: { ...exactly, tolerations: [{ operator: "Exists" }] } }],
      constraints: [{ distinctAttribute: "a.io/b", matchAttribute: "a.io/c" }],
    }),
  );
  const offered = make("ResourceSlice", {
    sharedCounters: [],
    ...slice({ name: "d", taints: [], nodeName: "n", capacity: { a: { value: "1", requestPolicy: {} } } }),
  });
  expect([claim, offered, make("DeviceClass", { extendedResourceName: "a.io/b" })]).toMatchObject([
    { spec: { devices: { requests: [{ exactly }], constraints: [{ matchAttribute: "a.io/c" }] } } },
    { spec: { devices: [{ name: "d", capacity: { a: { value: "1" } } }] } },
    { metadata: { generation: 1 } },
  ]);
  for (const gone of ["tolerations", "distinctAttribute", "sharedCounters", "taints", "requestPolicy", "extendedRes"])
    expect(JSON.stringify([claim, offered, make("DeviceClass", { extendedResourceName: "a.io/b" })])).not.toContain(
      gone,
    );
});
