import assert from "node:assert/strict";
import { describe, test } from "vitest";
import { parseMountinfo } from "./mountinfo.ts";
import { fstab, type HostView, planRootfs, type RootfsRequest } from "./rootfs.ts";

const tree: Record<string, "dir" | "file" | string> = {
  "/usr": "dir",
  "/bin": "->usr/bin",
  "/sbin": "->/usr/sbin",
  "/lib": "dir",
  "/etc/ssl": "dir",
  "/etc/ssl/private": "dir",
  "/etc/ld.so.cache": "file",
  "/etc/alternatives": "dir",
  "/dev/null": "file",
};
const mountinfo = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /home rw,nosuid,nodev,relatime - ext4 /dev/vdb rw
31 22 0:31 / /lib/modules rw - ext4 /dev/vdc rw
32 22 0:32 / /with\\040space rw - tmpfs tmpfs rw,size=1k
`;
const host: HostView = {
  kind(path) {
    const kind = tree[path];
    return kind === undefined ? undefined : kind.startsWith("->") ? "link" : (kind as "dir" | "file");
  },
  readlink: (path) => tree[path]!.slice(2),
  mounts: parseMountinfo(mountinfo),
};
const plan = (part: Partial<RootfsRequest> = {}) =>
  planRootfs({ host, readOnly: [], volumes: [], dirs: [], files: [], privileged: false, ...part });
const mountAt = (target: string, part: Partial<RootfsRequest> = {}) =>
  plan(part).mounts.filter((mount) => mount.target === target);

describe("planRootfs", () => {
  test("the machine's programs are bound read-only; a link in the machine's root is a link", () => {
    assert.deepEqual(mountAt("/usr"), [{ source: "/usr", target: "/usr", fstype: "none", options: ["bind", "ro"] }]);
    assert.deepEqual(mountAt("/bin"), []);
    const links = Object.fromEntries(plan().links.map(({ path, target }) => [path, target]));
    assert.equal(links["/bin"], "usr/bin");
    assert.equal(
      links["/sbin"],
      "usr/sbin",
      "links are relative, so that the skeleton is never filled outside of itself",
    );
    assert.ok(Object.values(links).every((target) => !target.startsWith("/")));
  });

  test("what the machine does not have is left out", () => {
    assert.deepEqual(mountAt("/lib64"), []);
    assert.deepEqual(mountAt("/dev/tty"), []);
  });

  test("a tree with mounts in it is bound with them: a user namespace may not look under them", () => {
    assert.deepEqual(mountAt("/lib")[0]!.options, ["rbind", "ro"]);
  });

  test("private keys of the machine are covered", () => {
    const { mounts } = plan();
    const of = (target: string) => mounts.findIndex((mount) => mount.target === target);
    assert.ok(of("/etc/ssl/private") > of("/etc/ssl"));
    assert.equal(mounts[of("/etc/ssl/private")]!.fstype, "tmpfs");
  });

  test("Node's folder keeps the flags of its mount, which a user namespace may not drop", () => {
    const readOnly = [{ source: "/home/me/node", target: "/home/me/node" }];
    assert.deepEqual(mountAt("/home/me/node", { readOnly }), []);
    tree["/home/me/node"] = "dir";
    assert.deepEqual(mountAt("/home/me/node", { readOnly })[0]!.options, ["bind", "ro", "nosuid", "nodev"]);
  });

  test("what of /proc reaches the kernel of the machine is read-only or masked, but for privileged containers", () => {
    tree["/proc/sys"] = "dir";
    tree["/proc/kcore"] = "file";
    assert.match(fstab(mountAt("/proc/sys"), "/r"), /^\/r\/proc\/sys \/r\/proc\/sys none bind,ro,/);
    assert.equal(mountAt("/proc/kcore")[0]!.source, "/dev/null");
    assert.deepEqual(mountAt("/proc/sys", { privileged: true }), []);
  });

  test("nothing else of the machine is mounted", () => {
    const sources = plan().mounts.flatMap(({ source, ownSource }) => (ownSource ? [] : [source]));
    const own = ["proc", "tmpfs", "devpts"];
    const allowed = /^\/(usr|lib|etc\/ssl|etc\/ld\.so\.cache|etc\/alternatives|dev\/null)$/;
    assert.deepEqual(
      sources.filter((source) => !own.includes(source) && !allowed.test(source)),
      [],
    );
  });

  const volume = (target: string, more: object = {}) => ({
    source: "/v",
    target,
    readonly: false,
    isDirectory: true,
    ...more,
  });
  test("a volume on a file gets a file as its mount point; one of /etc/hosts keeps ours below it", () => {
    const files = [{ path: "/etc/hosts", content: "ours" }];
    const { files: planned } = plan({
      files,
      volumes: [volume("/etc/hosts", { isDirectory: false }), volume("/c", { isDirectory: false })],
    });
    assert.deepEqual(
      planned.filter(({ path }) => path === "/etc/hosts"),
      files,
    );
    assert.ok(planned.some(({ path, content }) => path === "/c" && content === ""));
  });

  test("volumes are mounted parents first, whatever their order in the Pod", () => {
    const volumes = [volume("/data/a/b"), volume("/data"), volume("/data/a", { readonly: true })];
    const targets = plan({ volumes })
      .mounts.map(({ target }) => target)
      .filter((target) => target.startsWith("/data"));
    assert.deepEqual(targets, ["/data", "/data/a", "/data/a/b"]);
    assert.deepEqual(mountAt("/data/a", { volumes })[0]!.options, ["rbind", "ro"]);
  });

  test("no path leads out of the root", () => {
    const { directories, mounts } = plan({ volumes: [volume("/../../etc")], dirs: ["../../root/x"] });
    assert.ok(directories.includes("/root/x") && mounts.some(({ target }) => target === "/etc"));
    assert.ok(directories.every((path) => path.startsWith("/") && !path.includes("..")));
  });

  test("a mount point in a read-only tree is not made in the skeleton, where nobody would see it", () => {
    assert.ok(!plan({ volumes: [volume("/usr/share/x")] }).directories.includes("/usr/share/x"));
  });
});

test("fstab escapes what would end a field", () => {
  const mounts = [{ source: "/with space/back\\slash", target: "/t\tab", fstype: "none", options: ["rbind", "ro"] }];
  assert.equal(fstab(mounts, "/r"), "/with\\040space/back\\134slash /r/t\\011ab none rbind,ro 0 0\n");
});

test("mountinfo's octal escapes are read", () => {
  assert.equal(host.mounts.at(-1)!.mountPoint, "/with space");
});
