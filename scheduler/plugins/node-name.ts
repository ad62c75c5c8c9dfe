import type { FilterPlugin } from "../plugin.ts";

export const nodeName: FilterPlugin = ({ spec }, { node }) => {
  if (!spec.nodeName || spec.nodeName === node.metadata.name) return undefined;
  return { reasons: ["node(s) didn't match the requested node name"], unresolvable: true };
};
