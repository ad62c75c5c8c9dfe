import { isIP, isIPv4, isIPv6 } from "node:net";
import { dns1123Label, dns1123Subdomain } from "../names.ts";

/** The formats of strings that a schema may ask for; others are not looked at (k8s.io/kube-openapi, pkg/validation/strfmt). */
export const formats: Readonly<Record<string, (value: string) => boolean>> = {
  byte: (v) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(v),
  date: (v) => /^\d{4}-\d\d-\d\d$/.test(v) && isDay(v),
  "date-time": isDateTime,
  datetime: isDateTime,
  duration: (v) => /^-?(?:\d+(?:\.\d+)?\s*(?:ns|us|µs|μs|ms|s|m|h|d|w)\s*)+$/.test(v) || v === "0",
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: (v) => {
    const [address = "", bits = ""] = v.split("/");
    const family = isIP(address);
    return (
      family > 0 && v.split("/").length === 2 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)
    );
  },
  mac: (v) => /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}(?:(?:\1[0-9a-f]{2}){2})?$/i.test(v),
  uuid: (v) => /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(v),
  uuid3: (v) => uuidOf("3").test(v),
  uuid4: (v) => uuidOf("4").test(v),
  uuid5: (v) => uuidOf("5").test(v),
  email: (v) => v.length < 255 && /^[^\s@<>]+@[^\s@<>]+$/.test(v),
  hostname: (v) => v.length < 256 && /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$/.test(v),
  uri: (v) => URL.canParse(v) || /^\/[^\s]*$/.test(v),
  hexcolor: (v) => /^#?(?:[0-9a-f]{3}|[0-9a-f]{6})$/i.test(v),
  "k8s-short-name": (v) => dns1123Label(v).length === 0,
  "k8s-long-name": (v) => dns1123Subdomain(v).length === 0,
};

const uuidOf = (version: string) =>
  new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${version}[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$`, "i");

function isDateTime(value: string): boolean {
  const match = /^(\d{4}-\d\d-\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)$/.exec(
    value,
  );
  return match !== null && isDay(match[1]!);
}

function isDay(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}
