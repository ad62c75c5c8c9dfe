import { createHash } from "node:crypto";
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { attempt } from "../../base/attempt.ts";
import { containerPath, type ImageDefinition, type ImageHost } from "./images.ts";
import { isWithin } from "./mountinfo.ts";

/** The machine's files, as the image catalog asks for them. */
export const imageHost: ImageHost = {
  findProgram(program) {
    const paths = program.includes("/") ? [program] : containerPath.split(":").map((folder) => `${folder}/${program}`);
    const isProgram = (path: string) => {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    };
    return paths.find((path) => attempt(() => isProgram(path)));
  },
  describeFile(path) {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    const key = `${path} ${stat.size} ${stat.mtimeMs}`;
    let fingerprint = fingerprints.get(key);
    if (fingerprint === undefined) {
      // A bundle is the same image on every machine; hashing a machine's own large programs would only cost time.
      fingerprint = path.endsWith(".mjs") ? createHash("sha256").update(readFileSync(path)).digest("hex") : key;
      fingerprints.set(key, fingerprint);
    }
    return { sizeBytes: stat.size, fingerprint };
  },
};

const fingerprints = new Map<string, string>();

/** The images that are part of this project: bundles in `folder`, run by the Node.js that runs us. */
export function builtInImages(folder: string, mode: "netns" | "host"): ImageDefinition[] {
  return ["echo"].map((name) => {
    const bundle = join(folder, `${name}.mjs`);
    return {
      name: `kubelab/${name}`,
      entrypoint: [process.execPath, mode === "netns" ? bundleTarget(bundle) : bundle],
      cmd: [],
      env: [],
      workingDir: "/",
      dirs: [],
      needs: { bundle },
    };
  });
}

/** Where a container finds its bundle. */
export const bundleTarget = (bundle: string): string => `/app/${basename(bundle)}`;

/** Node's own folder, for containers; nothing when it lies in /usr, which they see anyway. */
export function nodeFolder(execPath: string): { source: string; target: string }[] {
  if (isWithin(execPath, "/usr")) return [];
  const folder = dirname(execPath);
  const source = basename(folder) === "bin" && folder !== "/bin" ? dirname(folder) : execPath;
  return [{ source, target: source }];
}
