import { readdirSync, readFileSync } from "node:fs";
import type { Pod } from "../../api/generated/core-v1.ts";
import { Deployments, Pods, Services } from "../../api/generated/resources.ts";
import type { Client } from "../../client/types.ts";
import { eventually, get } from "./lab.ts";

/** What the cluster tests ask of the demo: a Deployment and a NodePort Service, both named `web`. */
export const web = { namespace: "default", name: "web" };

export async function webPods(client: Client): Promise<Pod[]> {
  const { items } = await client.list(Pods, { namespace: "default", labelSelector: "app=web" });
  return items;
}

export function isReady({ status, metadata }: Pod): boolean {
  const ready = status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") ?? false;
  return ready && metadata.deletionTimestamp === undefined;
}

/** The Pods of `web` once there are exactly so many, all Ready and none on its way out. */
export function untilWebPods(client: Client, count: number): Promise<Pod[]> {
  return eventually(`${count} Ready Pods of web`, async () => {
    const pods = await webPods(client);
    return pods.length === count && pods.every(isReady) && pods;
  });
}

export async function scaleWeb(client: Client, replicas: number): Promise<void> {
  await client.patch(Deployments, web, { type: "merge", body: { spec: { replicas } } });
}

export async function nodePort(client: Client): Promise<number> {
  return (await client.get(Services, web)).spec!.ports![0]!.nodePort!;
}

/** Which Pod answers at `url`. */
export async function answeringPod(url: string): Promise<string> {
  const { code, body } = await get(url, { accept: "application/json" });
  if (code !== 200) throw new Error(`${url} answered ${code}`);
  return (JSON.parse(body) as { pod: string }).pod;
}

/** Asks until each of these Pods has answered. */
export async function untilAllAnswer(url: string, pods: Pod[]): Promise<void> {
  const missing = new Set(pods.map(({ metadata }) => metadata.name));
  await eventually(`an answer of every Pod at ${url}`, async () => {
    missing.delete(await answeringPod(url));
    return missing.size === 0;
  });
}

/** The process of the Pod's container, as numbered outside: found by the name that its environment gives it. */
export function containerPid(pod: Pod): number | undefined {
  const marker = `POD_NAME=${pod.metadata.name}`;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(marker)) continue;
      if (
        readFileSync(`/proc/${pid}/cmdline`, "utf8")
          .split("\0")
          .some((word) => /echo\.mjs$/.test(word))
      )
        return Number(pid);
      if (/echo/.test(readFileSync(`/proc/${pid}/cmdline`, "utf8")) && isNode(pid)) return Number(pid);
    } catch {} // ended meanwhile
  }
  return undefined;
}

function isNode(pid: string): boolean {
  return /^Name:\s+node/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** Sends one request after the other, each on a connection of its own, until stopped; keeps what failed. */
export class Load {
  readonly failures: string[] = [];
  answers = 0;
  #stopping = false;
  readonly #done: Promise<void>;

  constructor(url: string) {
    this.#done = this.#run(url);
  }

  async #run(url: string): Promise<void> {
    while (!this.#stopping) {
      try {
        await answeringPod(url);
        this.answers++;
      } catch (error) {
        this.failures.push((error as Error).message);
      }
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }
}
