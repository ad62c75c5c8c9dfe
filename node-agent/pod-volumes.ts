import { join } from "node:path";
import type { Container, Pod, Volume } from "../api/generated/core-v1.ts";
import type { Parts } from "../client/types.ts";
import type { Mount } from "../proto/generated/runtime.v1.ts";
import type { Init } from "../proto/wire.ts";
import { podDirectory } from "./cri-config.ts";
import { ConfigError, expand } from "./env.ts";
import { StartError, type TellEvent } from "./images.ts";
import { fetchReferences } from "./references.ts";
import { serviceAccountTokens } from "./service-account-tokens.ts";
import { volumePlan, volumeReferences } from "./volumes.ts";
import { makeVolume, pathBelow } from "./volumes-disk.ts";

export interface VolumesOptions extends Pick<Parts, "client" | "clock"> {
  rootDir: string;
  hostIP: string;
  allocatable: Readonly<Record<string, string>>;
}

/** The volumes of Pods on this node: `ROOT/pods/UID/volumes/NAME`, or the host's own path. */
export class PodVolumes {
  readonly #options: VolumesOptions;
  readonly #tokensOf: ReturnType<typeof serviceAccountTokens>;

  constructor(options: VolumesOptions) {
    this.#options = options;
    this.#tokensOf = serviceAccountTokens(options.client, options.clock);
  }

  /** Makes all volumes of a Pod, or brings them up to date. Throws StartError, and tells why as an Event. */
  async setUp(pod: Pod, tell: TellEvent): Promise<void> {
    const { client, clock, rootDir } = this.#options;
    const volumes = pod.spec?.volumes ?? [];
    if (volumes.length === 0) return;
    const failed = (cause: unknown, name: string) => {
      const message = `MountVolume.SetUp failed for volume "${name}" : ${(cause as Error).message}`;
      tell("Warning", "FailedMount", message);
      return new StartError({ reason: "", message, retryAtMs: 0 }, { cause });
    };
    const objects = await fetchReferences(client, pod.metadata.namespace!, volumeReferences(pod));
    const tokens = await this.#tokensOf(pod).catch((cause: unknown) => {
      const name = volumes.find(({ projected }) => projected?.sources?.some((s) => s.serviceAccountToken))!.name;
      throw failed(new Error(`failed to fetch token: ${(cause as Error).message}`, { cause }), name);
    });
    for (const volume of volumes) {
      try {
        const plan = volumePlan(volume, { ...this.#options, ...objects, tokens, pod, podIPs: [] });
        await makeVolume(directoryOf(rootDir, pod, volume.name), plan, new Date(clock.now()));
      } catch (cause) {
        throw failed(cause, volume.name);
      }
    }
  }

  /** Whether what is in them may change while the Pod runs. */
  changes({ spec }: Pod): boolean {
    return (spec?.volumes ?? []).some(isWritten);
  }

  /** What of them a container sees, and where. Throws ConfigError. */
  mounts(pod: Pod, { name: of, volumeMounts = [] }: Container, env: ReadonlyMap<string, string>) {
    const mounts = volumeMounts.map(async (mount): Promise<Init<Mount>> => {
      const { name, mountPath, subPath = "", subPathExpr, readOnly = false } = mount;
      const volume = pod.spec?.volumes?.find((one) => one.name === name);
      if (volume === undefined) throw new ConfigError(`volume "${name}" of container is not mounted`);
      const below = subPathExpr === undefined ? subPath : expand(subPathExpr, (key) => env.get(key));
      const path = volume.hostPath?.path ?? directoryOf(this.#options.rootDir, pod, name);
      const hostPath = await pathBelow(path, below).catch((cause) => {
        throw new ConfigError(`failed to prepare subPath for volumeMount "${name}" of container "${of}"`, { cause });
      });
      return { containerPath: mountPath, hostPath, readonly: readOnly || isWritten(volume) };
    });
    return Promise.all(mounts);
  }
}

/** Its files are the agent's, and read-only for containers (as upstream): what they wrote, the agent would follow. */
const isWritten = ({ configMap, secret, downwardAPI, projected }: Volume): boolean =>
  (configMap ?? secret ?? downwardAPI ?? projected) !== undefined;

function directoryOf(rootDir: string, { metadata }: Pod, name: string): string {
  return join(podDirectory(rootDir, metadata.uid!), "volumes", name);
}
