import { generateCodecs } from "./codec.ts";
import { generateGateway } from "./gateway.ts";
import { generateKubernetes } from "./kubernetes.ts";

/** Every generated file: path from the root of the repository, and its text. */
export function generateAll(): Map<string, string> {
  const files = generateKubernetes();
  for (const [file, text] of generateCodecs()) files.set(`proto/generated/${file}`, text);
  files.set("proto/generated/etcd-json.ts", generateGateway());
  return files;
}
