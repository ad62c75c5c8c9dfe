import { Code, GrpcError } from "../../net/grpc-error.ts";
import type { Handlers } from "../../net/grpc-server.ts";
import type { Image as CriImage, ImageServiceService } from "../../proto/generated/runtime.v1.ts";
import type { Init } from "../../proto/wire.ts";
import type { Image } from "./images.ts";
import type { Runtime } from "./runtime.ts";
import { nanoseconds } from "./status.ts";

/** CRI's ImageService over the catalog. Nothing is ever downloaded: what can run here is here, or cannot be pulled. */
export function imageHandlers(runtime: Runtime, imagesDir: string): Handlers<typeof ImageServiceService> {
  const { images, clock } = runtime.options;
  return {
    ListImages({ filter }) {
      const name = filter?.image?.image;
      const one = name ? images.find(name) : undefined;
      if (name) return { images: one === undefined ? [] : [criImage(one)] };
      const inUse = [...runtime.containers.values()].map(({ record }) => images.find(record.image.id));
      const all = [...images.list(), ...inUse].filter((image) => image !== undefined);
      return { images: [...new Map(all.map((image) => [image.id, criImage(image)])).values()] };
    },

    ImageStatus({ image }) {
      const found = images.find(image?.image ?? "");
      return { image: found && criImage(found), info: {} };
    },

    PullImage({ image }) {
      return { imageRef: images.pull(image?.image ?? "").id };
    },

    RemoveImage({ image }) {
      const found = images.find(image?.image ?? "");
      if (found !== undefined)
        throw new GrpcError(Code.FailedPrecondition, `image "${found.reference}" is part of the node`);
      return {};
    },

    ImageFsInfo() {
      const usedBytes = { value: images.list().reduce((sum, image) => sum + image.sizeBytes, 0) };
      const usage = { timestamp: nanoseconds(clock.now()), fsId: { mountpoint: imagesDir }, usedBytes };
      return { imageFilesystems: [usage] };
    },
  } as Handlers<typeof ImageServiceService>;
}

function criImage(image: Image): Init<CriImage> {
  const pinned = true; // garbage collection could free nothing
  const repoDigests = [image.id.replace(/:[^:@]*@/, "@")];
  return { id: image.id, repoTags: [image.reference], repoDigests, size: image.sizeBytes, uid: { value: 0 }, pinned };
}
