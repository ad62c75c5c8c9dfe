import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "vitest";
import { StartError } from "../../base/process.ts";
import { Code, GrpcError } from "../../net/grpc-error.ts";
import { builtInImages } from "./image-host.ts";
import { ImageCatalog, type ImageHost, imageEnv, parseReference } from "./images.ts";
import { parseImagesFile } from "./images-file.ts";

const host: ImageHost = {
  findProgram: (program) => (["sh", "python3"].includes(program) ? `/usr/bin/${program}` : undefined),
  describeFile: (path) => (path === "/gone/echo.mjs" ? undefined : { sizeBytes: 7, fingerprint: path }),
};
const file = "images: { busybox: { cmd: [sh] }, redis: { cmd: [redis-server] }, kubelab/echo: { cmd: [sh] } }";
const catalog = new ImageCatalog([...builtInImages("/images", "netns"), ...parseImagesFile(file, "images.yaml")], host);

describe("references", () => {
  test.each([
    ["busybox", "busybox", "latest"],
    ["busybox:1.36", "busybox", "1.36"],
    ["docker.io/library/busybox:1.36", "busybox", "1.36"],
    ["index.docker.io/kubelab/echo:v2", "kubelab/echo", "v2"],
    ["localhost:5000/a/b_c.d:x", "localhost:5000/a/b_c.d", "x"],
    [`kubelab/echo:v2@sha256:${"0a".repeat(32)}`, "kubelab/echo", "v2"],
  ])("%s", (reference, name, tag) => {
    assert.deepEqual(parseReference(reference), { name, tag });
  });

  test.each(["", "Busybox", "busybox:", "busy box", "a//b", "/a"])(
    "%j is refused in containerd's words",
    (reference) => {
      assert.throws(
        () => parseReference(reference),
        (error: GrpcError) => error.code === Code.InvalidArgument && error.message.includes("invalid reference format"),
      );
    },
  );
});

describe("resolution", () => {
  test("built-in images come first, whatever the file says", () => {
    const image = catalog.find("kubelab/echo:v3")!;
    assert.deepEqual([image.entrypoint, image.reference], [[process.execPath, "/app/echo.mjs"], "kubelab/echo:v3"]);
  });

  test("an image's id leads back to it, and tells tags apart", () => {
    const [v1, v2] = [catalog.find("kubelab/echo:v1")!, catalog.find("kubelab/echo:v2")!];
    assert.notEqual(v1.id.split("@")[1], v2.id.split("@")[1]);
    assert.deepEqual(catalog.find(v1.id), v1);
    assert.deepEqual(new Map(imageEnv(v2)).get("IMAGE_TAG"), "v2");
  });

  test("list has what can run here", () => {
    assert.deepEqual(
      catalog.list().map((image) => image.reference),
      ["busybox:latest", "kubelab/echo:latest"],
    );
  });

  test.each([
    [
      "unknown:1",
      'failed to pull and unpack image "unknown:1": not found: images here are busybox, kubelab/echo (any tag); deploy/images.yaml adds host programs',
    ],
    [
      "redis",
      'failed to pull and unpack image "redis:latest": it stands for the host program "redis-server", which is not on this machine (looked in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)',
    ],
  ])("pulling %s says what is missing and what there is", (reference, message) => {
    assert.throws(() => catalog.pull(reference), new GrpcError(Code.NotFound, message));
  });

  test("a built-in image whose bundle is missing says how to make it", () => {
    const unbuilt = new ImageCatalog(builtInImages("/gone", "netns"), host);
    assert.throws(() => unbuilt.pull("kubelab/echo"), /its bundle is missing \(npm run build\)/);
  });
});

describe("images.yaml", () => {
  test("ours is well-formed, and has a shell under busybox", () => {
    const definitions = parseImagesFile(readFileSync("deploy/images.yaml", "utf8"), "deploy/images.yaml");
    assert.deepEqual(definitions.find(({ name }) => name === "busybox")!.needs, { program: "sh" });
  });

  test.each([
    ["images: [a]", "images.yaml: images: expected a map from image name to entry"],
    ["images: { a: sh }", "images.yaml: images.a: expected a map"],
    ["images: { a: { comand: [sh] } }", 'images.yaml: images.a: unknown field "comand"'],
    ["images: { a: { cmd: sh } }", "images.yaml: images.a.cmd: expected a list of strings"],
    ["images: { a: { cmd: [sh], env: { A: 1 } } }", "images.yaml: images.a.env: expected a map of strings"],
    ["images: { a: { cmd: [sh], workingDir: x } }", "images.yaml: images.a.workingDir: expected an absolute path"],
    ["images: { a: {} }", "images.yaml: images.a: needs an entrypoint, a cmd or a program"],
  ])("%s", (text, message) => {
    assert.throws(() => parseImagesFile(text, "images.yaml"), new StartError(message));
  });
});
