import { expect, test } from "vitest";
import { told } from "../testing.ts";

const options = (windowsOptions: object) => ({ securityContext: { windowsOptions } });
const ofUser = (text: string) => `spec.securityContext.windowsOptions.runAsUserName: Invalid value: ${text}`;
const cannot = (path: string) => `spec.${path}: Forbidden: cannot be set for a windows pod`;
const ofLinux = (path: string) =>
  `spec.${path}.windowsOptions: Forbidden: windows options cannot be set for a linux pod`;

test.each<[string, object, string[]]>([
  ["Linux", { os: { name: "linux" } }, []],
  ["no name", { os: { name: "" } }, ["spec.os.name: Required value: cannot be empty"]],
  ["no system", { os: { name: "dos" } }, ['spec.os: Unsupported value: "dos": supported values: "linux", "windows"']],
  [
    "options of Windows are none of Linux",
    {
      os: { name: "linux" },
      ...options({ runAsUserName: "a" }),
      initContainers: [{ name: "i", image: "i", ...options({}) }],
    },
    [ofLinux("securityContext"), ofLinux("initContainers[0].securityContext")],
  ],
  [
    "what Windows does not have",
    {
      os: { name: "windows" },
      ...{ hostUsers: true, hostPID: false, hostIPC: true, shareProcessNamespace: false },
      securityContext: { appArmorProfile: { type: "Unconfined" }, fsGroup: 1, supplementalGroupsPolicy: "Merge" },
      containers: [{ name: "c", image: "i", securityContext: { privileged: false, capabilities: {}, runAsUser: 1 } }],
    },
    [
      ...["securityContext.appArmorProfile", "hostUsers", "hostIPC", "securityContext.fsGroup"],
      ...["shareProcessNamespace", "securityContext.supplementalGroupsPolicy"],
      ...["capabilities", "privileged", "runAsUser"].map((key) => `containers[0].securityContext.${key}`),
    ].map(cannot),
  ],
  ["users", { ...options({ runAsUserName: "CORP.example\\ann b" }) }, []],
  ["no user", options({ runAsUserName: "" }), [ofUser('"": runAsUserName cannot be an empty string')]],
  [
    "a name with a bell",
    options({ runAsUserName: "a\u0007" }),
    [ofUser('"a\\u0007": runAsUserName cannot contain control characters')],
  ],
  [
    "two backslashes",
    options({ runAsUserName: "a\\b\\c" }),
    [ofUser('"a\\\\b\\\\c": runAsUserName cannot contain more than one backslash')],
  ],
  [
    "a domain that is none, and no user in it",
    options({ runAsUserName: ".a?\\" }),
    [
      ofUser("\".a?\\\\\": runAsUserName's Domain doesn't match the NetBios nor the DNS format"),
      ofUser('".a?\\\\": runAsUserName\'s User cannot be empty'),
    ],
  ],
  [
    "dots alone, and what no user has",
    {
      ...options({ runAsUserName: ". ." }),
      containers: [{ name: "c", image: "i", ...options({ runAsUserName: "a@b" }) }],
    },
    [
      'spec.containers[0].securityContext.windowsOptions.runAsUserName: Invalid value: "a@b": runAsUserName\'s User cannot contain the following characters: "/\\:;|=,+*?<>@[]',
      ofUser('". .": runAsUserName\'s User cannot contain only periods or spaces'),
    ],
  ],
  [
    "credentials",
    options({ gmsaCredentialSpecName: "A", gmsaCredentialSpec: "" }),
    [
      expect.stringMatching(/windowsOptions.gmsaCredentialSpecName: Invalid value: "A": a lowercase RFC 1123/) as never,
      'spec.securityContext.windowsOptions.gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be an empty string',
    ],
  ],
  ["processes of the host", { hostNetwork: true, ...options({ hostProcess: true }) }, []],
  [
    "only some of them, on a network of their own",
    {
      ...options({ hostProcess: true }),
      containers: [
        { name: "a", image: "i", ...options({ hostProcess: false }) },
        { name: "b", image: "i" },
      ],
    },
    [
      "spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be identical if both are specified, was true",
      'spec: Invalid value: "": If pod contains any hostProcess containers then all containers must be HostProcess containers',
      "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
    ],
  ],
  [
    "users of its own, and the host's namespaces",
    { hostUsers: false, hostNetwork: true, hostPID: true, hostIPC: true },
    ["hostNetwork", "HostPID", "HostIPC"].map((key) => `spec.${key}: Forbidden: when \`pod.Spec.HostUsers\` is false`),
  ],
])("%s", (_, spec, expected) => expect(told("Pod", spec)).toEqual(expected));
