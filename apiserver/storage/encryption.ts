import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { parseYaml } from "../../apimachinery/schema/yaml.ts";

/**
 * Values encrypted at rest (`--encryption-provider-config`, apiserver.config.k8s.io/v1 EncryptionConfiguration), in
 * upstream's form, so that the store can be handed from one to the other:
 *
 *   k8s:enc:aescbc:v1:KEY:  IV (16)    AES-CBC, PKCS #7
 *   k8s:enc:aesgcm:v1:KEY:  nonce (12) AES-GCM  tag (16); the key in the store is authenticated with it
 *   (identity)              the value as it is
 *
 * The first provider of a resource writes, with its first key; all are tried when reading. Absent: secretbox, which
 * node:crypto has not, and kms.
 */
export interface Transformer {
  toStore(key: string, value: Buffer): Buffer;
  /** `stale`: not as `toStore` would write it now. Throws Error when no provider can read it. */
  fromStore(key: string, value: Uint8Array): { value: Uint8Array; stale: boolean };
}

interface Provider {
  /** "" for identity. */
  prefix: string;
  seal(key: string, value: Buffer): Buffer;
  open(key: string, sealed: Buffer): Buffer;
}

interface KeyConfig {
  name: string;
  secret: string;
}

interface EncryptionConfiguration {
  apiVersion?: string;
  kind?: string;
  resources?: { resources: string[]; providers: Record<string, { keys?: KeyConfig[] } | null>[] }[];
}

/** Resources are `secrets`, `deployments.apps`, `*.apps`, `*.` or `*.*`; the first entry that names one is its own. */
export class Encryption {
  readonly #entries: { resources: string[]; transformer: Transformer }[];

  /** Throws RangeError for a configuration that is none. */
  constructor(text: string) {
    const config = parseYaml(text).value as EncryptionConfiguration | null;
    if (config?.kind !== "EncryptionConfiguration" || config.apiVersion !== "apiserver.config.k8s.io/v1")
      throw new RangeError("the encryption configuration is no apiserver.config.k8s.io/v1 EncryptionConfiguration");
    this.#entries = (config.resources ?? []).map(({ resources, providers }, i) => ({
      resources,
      transformer: transformer(
        providers.flatMap((provider, j) => providersOf(provider, `resources[${i}].providers[${j}]`)),
      ),
    }));
  }

  /** For a store: by the resource that a key is of, built in or custom (`/registry/GROUP/RESOURCE/`). */
  byKey(resources: readonly { storagePrefix: string; group: string; resource: string }[]) {
    const known = new Map(resources.map((row) => [row.storagePrefix, this.of(row)]));
    return (key: string): Transformer | undefined => {
      const [, , first = "", second = ""] = key.split("/");
      for (const prefix of [first, `${first}/${second}`]) if (known.has(prefix)) return known.get(prefix);
      return this.of({ group: first, resource: second });
    };
  }

  of({ group, resource }: { group: string; resource: string }): Transformer | undefined {
    const names = [group ? `${resource}.${group}` : resource, `*.${group}`, "*.*"];
    return this.#entries.find(({ resources }) => resources.some((name) => names.includes(name)))?.transformer;
  }
}

function transformer(providers: readonly Provider[]): Transformer {
  const writer = providers[0];
  if (writer === undefined) throw new RangeError("the encryption configuration has a resource without providers");
  return {
    toStore: (key, value) => Buffer.concat([Buffer.from(writer.prefix), writer.seal(key, value)]),
    fromStore(key, value) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      const head = bytes.toString("latin1", 0, 256);
      const provider = providers.find(({ prefix }) =>
        prefix === "" ? !head.startsWith("k8s:enc:") : head.startsWith(prefix),
      );
      if (provider === undefined) throw new Error(`no matching prefix found: the value of ${key} cannot be decrypted`);
      return { value: provider.open(key, bytes.subarray(provider.prefix.length)), stale: provider !== writer };
    },
  };
}

function providersOf(provider: Record<string, { keys?: KeyConfig[] } | null>, at: string): Provider[] {
  return Object.entries(provider).flatMap(([name, config]): Provider[] => {
    if (name === "identity") return [{ prefix: "", seal: (_key, value) => value, open: (_key, value) => value }];
    const mode = Object.hasOwn(modes, name) ? modes[name] : undefined;
    if (mode === undefined) throw new RangeError(`${at}: the provider ${JSON.stringify(name)} is not supported`);
    const keys = (config?.keys ?? []).map((key) => ({ name: key.name, secret: Buffer.from(key.secret, "base64") }));
    if (keys.length === 0) throw new RangeError(`${at}.${name}.keys: Required value: at least one key`);
    return keys.map((key) => {
      if (![16, 24, 32].includes(key.secret.length))
        throw new RangeError(
          `${at}.${name}.keys: secret is not of the expected length, got ${key.secret.length}, expected one of [16 24 32]`,
        );
      return { prefix: `k8s:enc:${name}:v1:${key.name}:`, ...cipherOf(mode, key.secret) };
    });
  });
}

/** By provider: the mode, the bytes of the nonce before what is encrypted, and of the tag behind. */
const modes: Record<string, { mode: string; nonceBytes: number; tagBytes: number }> = {
  aescbc: { mode: "cbc", nonceBytes: 16, tagBytes: 0 },
  aesgcm: { mode: "gcm", nonceBytes: 12, tagBytes: 16 },
};

function cipherOf({ mode, nonceBytes, tagBytes }: (typeof modes)[string], secret: Buffer): Omit<Provider, "prefix"> {
  const cipher = `aes-${8 * secret.length}-${mode}` as "aes-256-gcm"; // what only a mode with a tag has is asked of no other
  return {
    seal(key, value) {
      const nonce = randomBytes(nonceBytes);
      const encrypt = createCipheriv(cipher, secret, nonce);
      if (tagBytes > 0) encrypt.setAAD(Buffer.from(key));
      const parts = [nonce, encrypt.update(value), encrypt.final()];
      return Buffer.concat(tagBytes > 0 ? [...parts, encrypt.getAuthTag()] : parts);
    },
    open(key, sealed) {
      const end = sealed.length - tagBytes;
      const decrypt = createDecipheriv(cipher, secret, sealed.subarray(0, nonceBytes));
      if (tagBytes > 0) decrypt.setAAD(Buffer.from(key)).setAuthTag(sealed.subarray(end));
      return Buffer.concat([decrypt.update(sealed.subarray(nonceBytes, end)), decrypt.final()]);
    },
  };
}
