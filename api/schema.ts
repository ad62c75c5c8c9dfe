import { Schema } from "../apimachinery/schema/table.ts";
import { groupVersions, table } from "./generated/schema.ts";

/** Every kind of the API, for decoding, patching and publishing. */
export const schema: Schema = new Schema(table, groupVersions);
