import { join } from "node:path";
import type { Pod } from "../api/generated/core-v1.ts";
import type { Parts } from "../client/types.ts";
import { podDirectory } from "./cri-config.ts";
import { StartError, type TellEvent } from "./images.ts";
import { fetchReferences } from "./references.ts";
import { serviceAccountTokens } from "./service-account-tokens.ts";
import { volumePlan, volumeReferences } from "./volumes.ts";
import { makeVolume } from "./volumes-disk.ts";

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
    return (spec?.volumes ?? []).some((v) => v.configMap ?? v.secret ?? v.downwardAPI ?? v.projected);
  }

  /** Where each volume is. */
  paths(pod: Pod): Map<string, string> {
    const { rootDir } = this.#options;
    const volumes = pod.spec?.volumes ?? [];
    return new Map(volumes.map(({ name, hostPath }) => [name, hostPath?.path ?? directoryOf(rootDir, pod, name)]));
  }
}

function directoryOf(rootDir: string, { metadata }: Pod, name: string): string {
  return join(podDirectory(rootDir, metadata.uid!), "volumes", name);
}
