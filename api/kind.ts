/** All that a kind's file is made of. */
export * from "./columns.ts";
export * from "./int-or-percent.ts";
export * from "./metadata.ts";
export * from "./resource.ts";
export * from "./strategy.ts";
