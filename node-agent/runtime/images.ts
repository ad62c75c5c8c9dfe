import { createHash } from "node:crypto";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { ImageCommand } from "./command.ts";

/**
 * Which image a name means, in the order of DESIGN decision 10: built-in (a bundle of this project, run by Node.js), then
 * host programs (`deploy/images.yaml`). Any tag of a known name is accepted and told to the program as IMAGE_TAG.
 */
export interface ImageDefinition extends ImageCommand {
  /** As people write it: `busybox`, `kubelab/echo`; no registry, no tag. */
  name: string;
  env: [string, string][];
  workingDir: string;
  /** Directories that the program expects in its root. */
  dirs: string[];
  /** The file that must exist: a bundle by its path, a host program by its name or path. */
  needs: { bundle: string } | { program: string };
}

export interface Image extends ImageDefinition {
  /** Name and tag: `kubelab/echo:v2`. */
  reference: string;
  tag: string;
  /**
   * `kubelab/echo:v2@sha256:...`, over what it is made of. Differs: name and tag are part of it, so that an id leads back
   * to its image without a store of the ids ever given out; and another tag is another image.
   */
  id: string;
  sizeBytes: number;
}

/** What the catalog sees of the machine. */
export interface ImageHost {
  /** Path of a program, looked up as containers will (`containerPath`). */
  findProgram(program: string): string | undefined;
  /** Size and something that changes with the content of a file; undefined when there is none. */
  describeFile(path: string): { sizeBytes: number; fingerprint: string } | undefined;
}

export const containerPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export class ImageCatalog {
  readonly #definitions: Map<string, ImageDefinition>;
  readonly #host: ImageHost;

  /** Earlier definitions win. */
  constructor(definitions: ImageDefinition[], host: ImageHost) {
    this.#definitions = new Map(definitions.toReversed().map((definition) => [definition.name, definition]));
    this.#host = host;
  }

  /** The images that can run here, each with tag `latest`. */
  list(): Image[] {
    const names = [...this.#definitions.keys()].sort();
    return names.map((name) => this.find(name)).filter((image) => image !== undefined);
  }

  /** Undefined when unknown, or when its program is not on this machine. */
  find(reference: string): Image | undefined {
    const { name, tag } = parseReference(reference);
    const definition = this.#definitions.get(name);
    if (definition === undefined) return undefined;
    const { needs } = definition;
    const file = "bundle" in needs ? needs.bundle : this.#host.findProgram(needs.program);
    const content = file === undefined ? undefined : this.#host.describeFile(file);
    if (content === undefined) return undefined;
    const { entrypoint, cmd, env } = definition;
    const identity = [tag, content.fingerprint, ...("bundle" in needs ? [] : [entrypoint, cmd, env])];
    const digest = createHash("sha256").update(JSON.stringify(identity)).digest("hex");
    const full = `${name}:${tag}`;
    return { ...definition, reference: full, tag, id: `${full}@sha256:${digest}`, sizeBytes: content.sizeBytes };
  }

  /** Throws NotFound with what would be possible. */
  pull(reference: string): Image {
    const image = this.find(reference);
    if (image !== undefined) return image;
    const { name, tag } = parseReference(reference);
    const fail = (why: string) =>
      new GrpcError(Code.NotFound, `failed to pull and unpack image "${name}:${tag}": ${why}`);
    const needs = this.#definitions.get(name)?.needs;
    if (needs !== undefined && "program" in needs)
      throw fail(
        `it stands for the host program "${needs.program}", which is not on this machine (looked in ${containerPath})`,
      );
    if (needs !== undefined) throw fail(`it is built in, but its bundle is missing (npm run build)`);
    const possible = this.list().map((each) => each.name);
    throw fail(`not found: images here are ${possible.join(", ")} (any tag); deploy/images.yaml adds host programs`);
  }
}

/** The environment that the image itself brings. */
export function imageEnv(image: Image): [string, string][] {
  return [["PATH", containerPath], ["IMAGE_NAME", image.name], ["IMAGE_TAG", image.tag], ...image.env];
}

/**
 * `docker.io/library/busybox:1.36@sha256:...` is `busybox` with tag `1.36`. Differs: a digest is ignored, since there is
 * no registry here whose content it could name.
 */
export function parseReference(reference: string): { name: string; tag: string } {
  const match = referencePattern.exec(reference);
  if (match === null)
    throw new GrpcError(
      Code.InvalidArgument,
      `failed to parse image reference "${reference}": invalid reference format`,
    );
  const name = match[1]!.replace(/^(index\.)?docker\.io\//, "").replace(/^library\//, "");
  return { name, tag: match[2] ?? "latest" };
}

const component = "[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*";
const referencePattern = new RegExp(
  `^((?:[A-Za-z0-9.-]+(?::\\d+)?/)?${component}(?:/${component})*)(?::(\\w[\\w.-]{0,127}))?(?:@[a-z0-9]+:[0-9a-f]{32,})?$`,
);
