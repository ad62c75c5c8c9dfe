import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseYaml } from "../../apimachinery/schema/yaml.ts";

/**
 * A plug-in's part of the file of --admission-control-config-file (apiserver.config.k8s.io/v1, AdmissionConfiguration), in
 * which it stands itself or is named by its path; `path` is where it was found.
 */
export function configurationOf<T>(file: string, plugin: string): { path: string; configuration: T } | undefined {
  const read = (path: string) => (parseYaml(readFileSync(path, "utf8")).value ?? {}) as object;
  const { plugins = [] } = read(file) as { plugins?: { name: string; path?: string; configuration?: object }[] };
  const found = plugins.find(({ name }) => name === plugin);
  if (found === undefined) return undefined;
  const path = found.path ? resolve(dirname(file), found.path) : file;
  return { path, configuration: (found.path ? read(path) : (found.configuration ?? {})) as T };
}
