import * as field from "../../apimachinery/field-error.ts";
import { dns1123Label, dns1123Subdomain } from "../../apimachinery/names.ts";
import type * as v1 from "../generated/resource-v1.ts";
import { maxItems, validateConfig, validateSelectors } from "./device-class.ts";
import { validateAttributeName } from "./resource-slice.ts";

/** What a claim may ask for. */
const maxAlternatives = 8;
const name = { key: (item: { name?: string }) => item.name ?? "", at: "name" };
const onlyOne = "exactly one of `exactly` or `firstAvailable` is required";

export type Devices = v1.DeviceClaim | undefined;

export function* validateDevices(devices: Devices, at: string): field.Problems {
  const { requests, constraints, config } = devices ?? {};
  yield* field.each(requests, `${at}.requests`, validateRequest, { max: maxItems, ...name });
  yield* field.each(
    constraints,
    `${at}.constraints`,
    function* (constraint, path) {
      yield* validateReferences(devices, constraint.requests, `${path}.requests`);
      const { matchAttribute } = constraint;
      if (matchAttribute === undefined) return yield field.required(`${path}.matchAttribute`);
      yield* validateAttributeName(matchAttribute, `${path}.matchAttribute`);
      if (!matchAttribute.includes("/"))
        yield field.invalid(`${path}.matchAttribute`, matchAttribute, "must include a domain");
    },
    { max: maxItems },
  );
  yield* field.each(config, `${at}.config`, (one, path) => validateConfigOf(devices, one, path), { max: maxItems });
}

export function* validateConfigOf(devices: Devices, config: v1.DeviceClaimConfiguration, at: string): field.Problems {
  yield* validateReferences(devices, config.requests, `${at}.requests`);
  yield* validateConfig(config, at);
}

function* validateRequest(request: v1.DeviceRequest, at: string): field.Problems {
  const { name: own = "", exactly, firstAvailable = [] } = request;
  yield* field.shaped(`${at}.name`, own, dns1123Label);
  yield* field.each(
    firstAvailable,
    `${at}.firstAvailable`,
    function* (request, path) {
      yield* field.shaped(`${path}.name`, request.name ?? "", dns1123Label);
      yield* validateExactly(request, path);
    },
    { max: maxAlternatives, ...name },
  );
  if (exactly) yield* validateExactly(exactly, `${at}.exactly`);
  if (exactly && firstAvailable.length > 0) yield field.invalid(at, null, `${onlyOne}, but multiple fields are set`);
  else if (!exactly && firstAvailable.length === 0) yield field.required(at, onlyOne);
}

function* validateExactly(request: v1.ExactDeviceRequest, at: string): field.Problems {
  const { deviceClassName, selectors, allocationMode, count = 0 } = request;
  yield* field.requiredName(`${at}.deviceClassName`, deviceClassName, dns1123Subdomain);
  yield* validateSelectors(selectors, `${at}.selectors`);
  yield* field.oneOf(`${at}.allocationMode`, allocationMode, ["All", "ExactCount"], false);
  if (allocationMode === "ExactCount" && count <= 0)
    yield field.invalid(`${at}.count`, count, "must be greater than zero");
  if (allocationMode === "All" && count !== 0)
    yield field.invalid(`${at}.count`, count, "must not be specified when allocationMode is 'All'");
}

const validateReferences = (devices: Devices, requests: string[] | undefined, at: string): field.Problems =>
  field.each(requests, at, (one, path) => validateReference(devices, one, path), { max: maxItems, key: String });

const noRequest =
  "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/** `request`, or `request/alternative`. */
export function* validateReference(devices: Devices, text: string, at: string): field.Problems {
  const [request, alternative, ...more] = text.split("/");
  if (more.length > 0) return yield field.invalid(at, text, noRequest);
  for (const part of text.split("/")) yield* field.shaped(at, part, dns1123Label);
  const found = devices?.requests?.find((one) => one.name === request);
  if (!found || (alternative !== undefined && !found.firstAvailable?.some((one) => one.name === alternative)))
    yield field.invalid(at, text, noRequest);
}
