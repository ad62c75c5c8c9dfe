import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { Handlers } from "../../net/grpc-server.ts";
import { CgroupDriver, type RuntimeServiceService } from "../../proto/generated/runtime.v1.ts";
import { parsePodCidr } from "./ipam.ts";
import type { Runtime } from "./runtime.ts";

/** As in package.json; a Node shows it as `kubelab://0.1.0`. */
const runtimeVersion = "0.1.0";

/** CRI's rpcs about the runtime itself. */
export function nodeHandlers(runtime: Runtime): Handlers<typeof RuntimeServiceService> {
  const { log, abilities, mode, cgroups } = runtime.options;
  return {
    Version: () => ({ version: "0.1.0", runtimeName: "kubelab", runtimeVersion, runtimeApiVersion: "v1" }),

    Status({ verbose }) {
      const network = runtime.podCidr !== undefined;
      const missing = [...abilities.missing, ...cgroups.missing];
      return {
        status: {
          conditions: [
            { type: "RuntimeReady", status: true, reason: "", message: "" },
            {
              type: "NetworkReady",
              status: network,
              reason: network ? "" : "NetworkPluginNotReady",
              message: network ? "" : "Network plugin returns error: no podCIDR yet",
            },
          ],
        },
        info: verbose ? { config: JSON.stringify({ mode, podCIDR: runtime.podCidr?.text ?? "", missing }) } : {},
      };
    },

    UpdateRuntimeConfig({ runtimeConfig }) {
      const text = runtimeConfig?.networkConfig?.podCidr ?? "";
      if (text === "") return {};
      // A dual-stack node has several; Pods here have IPv4 only.
      const cidr = text.split(",").map(parsePodCidr).find(Boolean);
      if (cidr === undefined) throw new GrpcError(Code.InvalidArgument, `invalid CIDR address: ${text}`);
      if (runtime.hostMode && !cidr.text.startsWith("127."))
        throw new GrpcError(Code.InvalidArgument, `in mode host the podCIDR lies in 127.0.0.0/8, not ${cidr.text}`);
      if (cidr.text !== runtime.podCidr?.text) log.info({ podCIDR: cidr.text }, "Pod range is set");
      runtime.savePodCidr(cidr);
      return {};
    },

    RuntimeConfig: () => ({ linux: { cgroupDriver: CgroupDriver.CGROUPFS } }),

    GetContainerEvents(_request, { signal }, send) {
      const unsubscribe = runtime.subscribe((event) => void send(event as never));
      return new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => {
          unsubscribe();
          resolve();
        });
      });
    },
  } as Handlers<typeof RuntimeServiceService>;
}
