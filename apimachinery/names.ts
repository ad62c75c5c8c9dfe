/**
 * The shapes of names, each as `(value) -> problems` in upstream's words (k8s.io/apimachinery/pkg/util/validation).
 */
const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const qualifiedPart = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

const labelRe = new RegExp(`^${label}$`);
const label1035 = "[a-z]([-a-z0-9]*[a-z0-9])?";
const label1035Re = new RegExp(`^${label1035}$`);
const subdomainRe = new RegExp(`^${label}(\\.${label})*$`);
const qualifiedRe = new RegExp(`^${qualifiedPart}$`);
const labelValueRe = new RegExp(`^(${qualifiedPart})?$`);
const envVarRe = /^[^=]*$/;
const configKeyRe = /^[-._a-zA-Z0-9]+$/;

const bytes = (text: string) => Buffer.byteLength(text);
const atMost = (max: number) => `must be no more than ${max} bytes`;

/** `... (e.g. 'a',  or 'b', regex used for validation is 'r')`, with upstream's two spaces. */
function regexText(message: string, ...[regex, ...examples]: string[]): string {
  const list = examples.map((e, i) => `${i > 0 ? " or " : ""}'${e}', `).join("");
  return `${message} (e.g. ${list}regex used for validation is '${regex}')`;
}

const ends = "must start and end with an alphanumeric character";
const anyCase = `must consist of alphanumeric characters, '-', '_' or '.', and ${ends}`;
const lowerCase = "must consist of lower case alphanumeric characters";
const qualifiedRule = regexText(anyCase, qualifiedPart, "MyName", "my.name", "123-abc");
const label1035Rule = `${lowerCase} or '-', start with an alphabetic character, and end with an alphanumeric character`;
const labelRule = `a lowercase RFC 1123 label ${lowerCase} or '-', and ${ends}`;
const labelText = regexText(labelRule, label, "my-name", "123-abc");
const label1035Text = regexText(`a DNS-1035 label ${label1035Rule}`, label1035, "my-name", "abc-123");
const subdomain = `${label}(\\.${label})*`;
const subdomainRule = `a lowercase RFC 1123 subdomain ${lowerCase}, '-' or '.', and ${ends}`;
const subdomainText = regexText(subdomainRule, subdomain, "example.com");
const labelValueRule = `a valid label must be an empty string or ${anyCase.replace("must ", "")}`;
const labelValueText = regexText(labelValueRule, `(${qualifiedPart})?`, "MyValue", "my_value", "12345");
const configKeyRule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
const configKeyText = regexText(configKeyRule, "[-._a-zA-Z0-9]+", "key.name", "KEY_NAME", "key-name");

const identifierRule =
  "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
const identifierText = regexText(identifierRule, "[A-Za-z_][A-Za-z0-9_]*", "my_name", "MY_NAME", "MyName");
const reason = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const reasonText = regexText(
  "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
  ...[reason, "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
);

function check(value: string, max: number, regex: RegExp, text: string): string[] {
  const problems: string[] = [];
  if (bytes(value) > max) problems.push(atMost(max));
  // No regular expression sees hostile lengths.
  if (value.length > 4096 || !regex.test(value)) problems.push(text);
  return problems;
}

export const dns1123Label = (value: string): string[] => check(value, 63, labelRe, labelText);
export const dns1035Label = (value: string): string[] => check(value, 63, label1035Re, label1035Text);
export const dns1123Subdomain = (value: string): string[] => check(value, 253, subdomainRe, subdomainText);
export const labelValue = (value: string): string[] => check(value, 63, labelValueRe, labelValueText);

export const cIdentifier = (value: string): string[] => (/^[A-Za-z_]\w*$/.test(value) ? [] : [identifierText]);
export const conditionReason = (value: string): string[] => (new RegExp(`^${reason}$`).test(value) ? [] : [reasonText]);

/** Label and annotation keys, resource names: `name` or `prefix/name`. */
export function qualifiedName(value: string): string[] {
  const problems: string[] = [];
  const parts = value.split("/");
  let name = parts[0]!;
  if (parts.length === 2) {
    const prefix = parts[0]!;
    name = parts[1]!;
    if (prefix === "") problems.push("prefix part must be non-empty");
    else problems.push(...dns1123Subdomain(prefix).map((p) => `prefix part ${p}`));
  } else if (parts.length > 2) {
    const more = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
    return [`a qualified name ${qualifiedRule} ${more}`];
  }
  if (name === "") problems.push("name part must be non-empty");
  else if (bytes(name) > 63) problems.push(`name part ${atMost(63)}`);
  if (name.length > 4096 || !qualifiedRe.test(name)) problems.push(`name part ${qualifiedRule}`);
  return problems;
}

/** Names that stand in URL paths and nothing else (roles). */
export function pathSegmentName(value: string): string[] {
  if (value === "." || value === "..") return [`may not be '${value}'`];
  return ["/", "%"].filter((c) => value.includes(c)).map((c) => `may not contain '${c}'`);
}

/** Keys of ConfigMaps and Secrets. */
export function configMapKey(value: string): string[] {
  const problems = check(value, 253, configKeyRe, configKeyText);
  if (value === "." || value === "..") problems.push(`must not be '${value}'`);
  else if (value.startsWith("..")) problems.push("must not start with '..'");
  return problems;
}

/** Names of environment variables, as relaxed in 1.34: printable ASCII without `=`. */
export function envVarName(value: string): string[] {
  if (value === "") return ["environment variable name must be non-empty"];
  const ok = envVarRe.test(value) && /^[\x20-\x7e]*$/.test(value);
  return ok ? [] : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** Names of container ports and of Endpoints' ports that programs refer to. */
export function portName(value: string): string[] {
  const problems: string[] = [];
  if (value.length > 15) problems.push("must be no more than 15 characters");
  if (!/^[-a-z0-9]+$/.test(value))
    problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
  if (!/[a-z]/.test(value)) problems.push("must contain at least one letter (a-z)");
  if (value.includes("--")) problems.push("must not contain consecutive hyphens");
  if (value.startsWith("-") || value.endsWith("-")) problems.push("must not begin or end with a hyphen");
  return problems;
}

export const portNumber = (value: number): string[] =>
  Number.isInteger(value) && value >= 1 && value <= 65535 ? [] : ["must be between 1 and 65535, inclusive"];
