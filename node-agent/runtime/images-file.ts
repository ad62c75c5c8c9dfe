import { parse } from "yaml";
import { StartError } from "../../base/process.ts";
import type { ImageDefinition } from "./images.ts";

/** Reads `deploy/images.yaml`; its format is told in that file. Throws StartError that names the entry and the field. */
export function parseImagesFile(text: string, path: string): ImageDefinition[] {
  const fail = (where: string, what: string) => new StartError(`${path}: ${where}: ${what}`);
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw fail("not YAML", (error as Error).message);
  }
  const images = (document as { images?: unknown } | null)?.images;
  if (!isRecord(images)) throw fail("images", "expected a map from image name to entry");
  return Object.entries(images).map(([name, entry]) => {
    if (!isRecord(entry)) throw fail(`images.${name}`, "expected a map");
    const unknown = Object.keys(entry).find((key) => !fields.includes(key));
    if (unknown !== undefined) throw fail(`images.${name}`, `unknown field "${unknown}"`);
    const strings = (field: string): string[] => {
      const value = entry[field] ?? [];
      if (!Array.isArray(value) || !value.every((item) => typeof item === "string"))
        throw fail(`images.${name}.${field}`, "expected a list of strings");
      return value;
    };
    const env = entry["env"] ?? {};
    if (!isRecord(env) || !Object.values(env).every((value) => typeof value === "string"))
      throw fail(`images.${name}.env`, "expected a map of strings");
    const workingDir = entry["workingDir"] ?? "/";
    if (typeof workingDir !== "string" || !workingDir.startsWith("/"))
      throw fail(`images.${name}.workingDir`, "expected an absolute path");
    const entrypoint = strings("entrypoint");
    const cmd = strings("cmd");
    const program = entry["program"] ?? entrypoint[0] ?? cmd[0];
    if (typeof program !== "string") throw fail(`images.${name}`, "needs an entrypoint, a cmd or a program");
    const variables = Object.entries(env as Record<string, string>);
    return { name, entrypoint, cmd, env: variables, workingDir, dirs: strings("dirs"), needs: { program } };
  });
}

const fields = ["program", "entrypoint", "cmd", "env", "workingDir", "dirs"];

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
