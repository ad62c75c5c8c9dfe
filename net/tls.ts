import { readFileSync } from "node:fs";

/** PEM files of one identity and the authority that it trusts. */
export interface TlsFiles {
  certFile: string;
  keyFile: string;
  /** Who the other side must be signed by. */
  caFile: string;
}

export interface TlsMaterial {
  cert: Buffer;
  key: Buffer;
  ca: Buffer;
}

export function readTls(files: TlsFiles): TlsMaterial {
  return { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile), ca: readFileSync(files.caFile) };
}
