// Real counterparts for tests and benchmarks: Debian packages, downloaded with apt-get and unpacked under .cache/peers.
// Nothing is installed or started, no root needed. `node tools/peers.mjs` fetches all; a machine that cannot get them
// is told so in one line, and the tests that need one are skipped by name.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

/** Everything of ours runs with the project as the working directory. */
const cache = resolve(".cache/peers");

/** What a test asks for -> the Debian package that has it, and where. Python packages need `libraries`, too. */
export const peers = {
  kubectl: { package: "kubernetes-client", path: "usr/bin/kubectl" },
  etcdctl: { package: "etcd-client", path: "usr/bin/etcdctl" },
  etcd: { package: "etcd-server", path: "usr/bin/etcd" },
  // Its Python packages; python3 itself must be on the machine.
  "python-kubernetes": {
    package: "python3-kubernetes",
    path: "usr/lib/python3/dist-packages/kubernetes/__init__.py",
    libraries: [
      ...["certifi", "dateutil", "google-auth", "requests", "requests-oauthlib", "oauthlib", "six", "urllib3", "yaml"],
      ...["websocket", "cachetools", "pyasn1", "pyasn1-modules", "rsa", "charset-normalizer", "idna", "chardet"],
    ].map((name) => `python3-${name}`),
  },
  nft: { package: "nftables", path: "usr/sbin/nft", closure: true },
  // The browser alone, with everything that it needs and this machine does not have.
  chromium: { package: "chromium-headless-shell", path: "usr/lib/chromium/chromium-headless-shell", closure: true },
};

/** Fetches what is missing; returns the names that cannot be had, with the reason. */
export function fetchPeers() {
  const missing = {};
  for (const [name, peer] of Object.entries(peers)) {
    try {
      for (const pkg of [peer.package, ...(peer.libraries ?? [])]) fetchPackage(pkg, peer.closure);
      if (!existsSync(join(cache, peer.package, peer.path))) throw new Error(`${peer.path} is not in ${peer.package}`);
      if (peer.closure) writeWrapper(name, peer);
      if (!peer.libraries) continue;
      execFileSync("python3", ["--version"], { stdio: "pipe" });
      writeWrapper(name, peer);
    } catch (error) {
      missing[name] = reason(error);
    }
  }
  return missing;
}

let updated = false;

function fetchPackage(pkg, closure) {
  const into = join(cache, pkg);
  if (existsSync(into)) return;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, `.${pkg}-`));
  try {
    mkdirSync(join(work, "archives/partial"), { recursive: true });
    const all = ["-y", "--no-install-recommends", "--download-only", "-o", "Debug::NoLocking=1"];
    download(closure ? [...all, "-o", `Dir::Cache=${work}`, "install", "--reinstall", pkg] : ["download", pkg], work);
    const from = closure ? join(work, "archives") : work;
    const debs = readdirSync(from).filter((file) => file.endsWith(".deb"));
    if (debs.length === 0) throw new Error(`apt-get download ${pkg} gave no file`);
    for (const deb of debs) execFileSync("dpkg", ["-x", join(from, deb), join(work, "x")], { stdio: "pipe" });
    renameSync(join(work, "x"), into);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The machine's own package lists first; where there are none, lists of our own under .cache (no root needed). */
function download(args, work) {
  const apt = (...args) => execFileSync("apt-get", ["-q", ...args], { cwd: work, stdio: "pipe", timeout: 300_000 });
  try {
    return apt(...(updated ? ownLists() : []), ...args);
  } catch (error) {
    if (updated) throw error;
  }
  updated = true;
  apt(...ownLists(), "update");
  apt(...ownLists(), ...args);
}

function ownLists() {
  const state = join(cache, ".apt");
  mkdirSync(join(state, "lists/partial"), { recursive: true });
  mkdirSync(join(state, "cache/archives/partial"), { recursive: true });
  return ["-o", `Dir::State::Lists=${state}/lists`, "-o", `Dir::Cache=${state}/cache`];
}

/** python3 that finds the packages, or a program with its libraries, whatever the machine has. */
function writeWrapper(name, peer) {
  const own = (path) => `$here/${peer.package}/${path}`;
  const path = (peer.libraries ?? []).map((pkg) => `:$here/${pkg}/${python}`).join("");
  const start = peer.closure
    ? `LD_LIBRARY_PATH="${own(libraries)}:${own(libraries)}/pulseaudio" exec "${own(peer.path)}" "$@"`
    : `PYTHONPATH="${own(python)}${path}" exec python3 "$@"`;
  const text = `#!/bin/sh
here=$(dirname "$0")
${start}
`;
  writeFileSync(join(cache, name), text, { mode: 0o755 });
}

const libraries = "usr/lib/x86_64-linux-gnu";
const python = "usr/lib/python3/dist-packages";

export function peerPath(name) {
  const peer = peers[name];
  const path = peer.libraries || peer.closure ? join(cache, name) : join(cache, peer.package, peer.path);
  return existsSync(path) ? path : undefined;
}

function reason(error) {
  if (error.code === "ENOENT") return `this machine has no ${error.path ?? "apt-get or dpkg"}`;
  const text = String(error.stderr ?? error.message).trim();
  return text.split("\n").find((line) => line.startsWith("E:")) ?? text.split("\n")[0];
}

if (process.argv[1]?.endsWith("peers.mjs")) {
  const missing = fetchPeers();
  for (const [name, why] of Object.entries(missing)) console.error(`peers: no ${name}: ${why}`);
  for (const name of Object.keys(peers)) if (!(name in missing)) console.log(`${name}: ${peerPath(name)}`);
  if (Object.keys(missing).length > 0) process.exitCode = 1;
}
