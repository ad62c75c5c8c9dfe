/**
 * Amounts of resources: `100m`, `1.5Gi`, `1e3`. Exact to a billionth, capped at 2^63 - 1, and printed so that equal
 * amounts of one format print alike: no fraction, the greatest suffix. Source: k8s.io/apimachinery/pkg/api/resource.
 *
 *   canonicalQuantity("1000m") = "1"    canonicalQuantity("1024Mi") = "1Gi"    canonicalQuantity("0.5") = "500m"
 */
export interface Quantity {
  /** In billionths. */
  nano: bigint;
  format: "DecimalSI" | "BinarySI" | "DecimalExponent";
}

const giga = 10n ** 9n;
const max = (2n ** 63n - 1n) * giga;

const decimalSuffixes = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const binarySuffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/** What upstream says of a quantity that it cannot read. */
export const quantityError =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/** Throws an Error with upstream's text. */
export function parseQuantity(text: string): Quantity {
  if (text === "0") return { nano: 0n, format: "DecimalSI" };
  const match = /^([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[-+]?\d*)$/.exec(text.length > 1000 ? "" : text);
  if (!match || (!match[2] && !match[3])) throw new Error(quantityError);
  const [, sign, whole = "", fraction = "", suffix = ""] = match;
  const scale = scaleOf(suffix);
  if (!scale) throw new Error("unable to parse quantity's suffix");
  const digits = BigInt(whole + fraction);
  // digits * base^exponent * 10^9 / 10^fraction.length, rounded away from zero.
  let top = digits * giga;
  let bottom = 10n ** BigInt(fraction.length);
  const factor = BigInt(scale.base) ** BigInt(Math.min(Math.abs(scale.exponent), 1000));
  if (scale.exponent >= 0) top *= factor;
  else bottom *= factor;
  let nano = (top + bottom - 1n) / bottom;
  if (nano > max) nano = max;
  return { nano: sign === "-" ? -nano : nano, format: scale.format };
}

function scaleOf(suffix: string): { base: number; exponent: number; format: Quantity["format"] } | undefined {
  const decimal = decimalSuffixes.indexOf(suffix);
  if (decimal >= 0) return { base: 1000, exponent: decimal - 3, format: "DecimalSI" };
  const binary = binarySuffixes.indexOf(suffix);
  if (binary > 0) return { base: 1024, exponent: binary, format: "BinarySI" };
  const match = /^[eE]([-+]?\d+)$/.exec(suffix);
  return match ? { base: 10, exponent: Number(match[1]), format: "DecimalExponent" } : undefined;
}

export function formatQuantity({ nano, format }: Quantity): string {
  if (nano === 0n) return "0";
  const sign = nano < 0n ? "-" : "";
  let amount = nano < 0n ? -nano : nano;
  // Below 1024, or with a fraction, binary suffixes would lose something.
  const binary = format === "BinarySI" && amount >= 1024n * giga && amount % giga === 0n;
  if (binary) amount /= giga;
  const base = binary ? 1024n : 1000n;
  let power = binary ? 0 : -3;
  while (power < 6 && amount % base === 0n) {
    amount /= base;
    power++;
  }
  if (binary) return `${sign}${amount}${binarySuffixes[power]}`;
  const suffix = format === "DecimalExponent" ? (power === 0 ? "" : `e${power * 3}`) : decimalSuffixes[power + 3];
  return `${sign}${amount}${suffix}`;
}

/** Kubernetes accepts numbers too. Throws an Error with upstream's text. */
export const canonicalQuantity = (value: string | number): string => {
  const text = String(value).trim();
  return plain.test(text) ? text : formatQuantity(parseQuantity(text));
};

/** The usual ones, which are canonical already. */
const plain = /^[1-9]\d{0,2}[mkMG]?$/;

export function compareQuantities(a: string, b: string): number {
  const left = parseQuantity(a).nano;
  const right = parseQuantity(b).nano;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** In the format of the first that is not zero. */
export function addQuantities(a: string, b: string, sign = 1n): string {
  const left = parseQuantity(a);
  const right = parseQuantity(b);
  return formatQuantity({ nano: left.nano + sign * right.nano, format: left.nano === 0n ? right.format : left.format });
}

export const subtractQuantities = (a: string, b: string): string => addQuantities(a, b, -1n);

const ceilDivide = (a: bigint, b: bigint): number => Number(a >= 0n ? (a + b - 1n) / b : a / b);

/** Whole units, rounded up: bytes, Pods. */
export const quantityToNumber = (text: string): number => ceilDivide(parseQuantity(text).nano, giga);

/** Thousandths, rounded up: milli-CPUs. */
export const quantityToMilli = (text: string): number => ceilDivide(parseQuantity(text).nano, 1_000_000n);
