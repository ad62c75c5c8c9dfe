import type { OpenApi } from "./paths.ts";

/** The published documents. */
export const openapi = (): OpenApi => ({ document: () => undefined, groupVersions: [] });
