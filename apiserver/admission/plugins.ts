import type { Plugin } from "./chain.ts";
import { defaultTolerationSeconds } from "./default-toleration-seconds.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { taintNodesByCondition } from "./taint-nodes-by-condition.ts";

export interface PluginOptions {
  tolerationSeconds: { notReady: number; unreachable: number };
  /** Beside those that are on by default. */
  enable?: readonly string[] | undefined;
  disable?: readonly string[] | undefined;
}

/** The plug-ins that are on, in upstream's order. Throws RangeError for a name that there is not. */
export function admissionPlugins(options: PluginOptions): Plugin[] {
  const { enable = [], disable = [] } = options;
  const all: Plugin[] = [
    namespaceLifecycle,
    nodeRestriction,
    taintNodesByCondition,
    defaultTolerationSeconds(options.tolerationSeconds),
  ];
  const names = new Set(all.map(({ name }) => name));
  for (const [flag, given] of [["enable", enable] as const, ["disable", disable] as const])
    for (const name of given)
      if (!names.has(name)) throw new RangeError(`${flag}-admission-plugins plugin ${JSON.stringify(name)} is unknown`);
  const both = enable.filter((name) => disable.includes(name));
  if (both.length > 0)
    throw new RangeError(`[${both.join(" ")}] in enable-admission-plugins and disable-admission-plugins overlapped`);
  return all.filter(({ name }) => !disable.includes(name) && (!offByDefault.has(name) || enable.includes(name)));
}

const offByDefault: ReadonlySet<string> = new Set();
