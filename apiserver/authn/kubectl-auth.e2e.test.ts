import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { peer } from "../../tools/peers.ts";
import { startTestApiserver, type TestApiserver } from "../testing.ts";

/** `kubectl auth`, `create token`, `create role` and `--as`, with the real binaries that lie on this machine. */
const dirs = (process.env["PATH"] ?? "").split(delimiter).map((dir) => join(dir, "kubectl"));
const beside = dirs.filter((path) => existsSync(path)).map((path) => dirname(realpathSync(path)))[0];
const versions = ["1.33", "1.29"]
  .map((version) => join(beside ?? "", `kubectl.${version}`))
  .filter((path) => existsSync(path));
const kubectls = versions.length > 0 ? versions : [peer("kubectl")].filter((path) => path !== undefined);

let server: TestApiserver;
const home = mkdtempSync(join(tmpdir(), "kubectl-"));
beforeAll(async () => {
  server = await startTestApiserver();
});
afterAll(async () => {
  await server?.close();
  rmSync(home, { recursive: true, force: true });
});

describe.each(kubectls)("%s", (path) => {
  let n = 0;
  const kubectl = (...args: string[]) =>
    new Promise<string>((resolve) => {
      const env = { HOME: home, KUBECONFIG: server.kubeconfig };
      execFile(path, args, { env }, (error, stdout, stderr) => {
        resolve(`${stdout}${stderr}${error ? `exit ${error.code}` : ""}`.trim());
      });
    });
  const namespace = async () => {
    const name = `ns-${path.replace(/\D/g, "")}-${n++}`;
    await kubectl("create", "namespace", name);
    return name;
  };

  test("auth whoami", async () => {
    assert.match(
      await kubectl("auth", "whoami"),
      /Username +kubernetes-admin\nGroups +\[system:masters system:authenticated\]/,
    );
    assert.match(
      await kubectl("auth", "whoami", "--as=jane", "--as-group=dev"),
      /Username +jane\nGroups +\[dev system:authenticated\]/,
    );
  });

  test("auth can-i, before and after a role is bound", async () => {
    const ns = await namespace();
    const jane = ["-n", ns, "--as=jane"];
    assert.equal(await kubectl("auth", "can-i", "create", "pods", "-n", ns), "yes");
    assert.equal(await kubectl("auth", "can-i", "list", "pods", ...jane), "no\nexit 1");
    assert.match(
      await kubectl("get", "pods", ...jane),
      new RegExp(
        `^Error from server \\(Forbidden\\): pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "${ns}"`,
      ),
    );
    assert.equal(
      await kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods", "-n", ns),
      "role.rbac.authorization.k8s.io/reader created",
    );
    assert.equal(
      await kubectl("create", "rolebinding", "jane", "--role=reader", "--user=jane", "-n", ns),
      "rolebinding.rbac.authorization.k8s.io/jane created",
    );
    assert.equal(await kubectl("auth", "can-i", "list", "pods", ...jane), "yes");
    assert.match(await kubectl("get", "pods", ...jane), /^No resources found/);
    assert.match(await kubectl("auth", "can-i", "--list", ...jane), /^pods +\[\] +\[\] +\[get list\]$/m);
    assert.match(
      await kubectl("create", "role", "more", "--verb=get", "--resource=secrets", ...jane),
      /roles.rbac.authorization.k8s.io is forbidden: User "jane" cannot create resource "roles"/,
    );
  });

  test("nobody gives away more than he has", async () => {
    const ns = await namespace();
    await kubectl("create", "role", "granter", "--verb=create,get", "--resource=roles,rolebindings", "-n", ns);
    await kubectl("create", "rolebinding", "gina", "--role=granter", "--user=gina", "-n", ns);
    const gina = ["-n", ns, "--as=gina"];
    assert.match(
      await kubectl("create", "role", "more", "--verb=get,delete", "--resource=secrets", ...gina),
      /roles.rbac.authorization.k8s.io "more" is forbidden: user "gina" \(groups=\["system:authenticated"\]\) is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["secrets"\], Verbs:\["get" "delete"\]\}/,
    );
    assert.match(
      await kubectl("create", "rolebinding", "y", "--clusterrole=cluster-admin", "--user=gina", ...gina),
      /is attempting to grant RBAC permissions not currently held/,
    );
  });

  test("create token, which is good for its account's rights", async () => {
    const ns = await namespace();
    await kubectl("create", "serviceaccount", "robot", "-n", ns);
    const token = await kubectl("create", "token", "robot", "-n", ns, "--duration=1h");
    assert.match(token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    const anyone = join(home, "anyone");
    const config = JSON.parse(await kubectl("config", "view", "--raw", "-o", "json"));
    config.users = [{ name: "test", user: { token } }];
    writeFileSync(anyone, JSON.stringify(config));
    const robot = (...args: string[]) => kubectl(...args, "-n", ns, `--kubeconfig=${anyone}`);
    assert.match(await robot("auth", "whoami"), new RegExp(`Username +system:serviceaccount:${ns}:robot`));
    assert.match(
      await robot("get", "configmaps"),
      /User "system:serviceaccount:.*:robot" cannot list resource "configmaps"/,
    );
    await kubectl(
      "create",
      "rolebinding",
      "robot",
      "--clusterrole=cluster-admin",
      `--serviceaccount=${ns}:robot`,
      "-n",
      ns,
    );
    assert.match(await robot("get", "configmaps"), /^No resources found/);
    assert.match(
      await kubectl("create", "token", "robot", "-n", ns, "--duration=1s"),
      /may not specify a duration less than 10 minutes/,
    );
    await kubectl("delete", "serviceaccount", "robot", "-n", ns);
    assert.match(await robot("get", "configmaps"), /You must be logged in to the server|Unauthorized/);
  });

  test("auth reconcile puts back what is missing", async () => {
    const ns = await namespace();
    const file = join(home, "role.yaml");
    const role = (verbs: string) =>
      `apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: { name: r, namespace: ${ns} }\nrules: [{ apiGroups: [""], resources: [pods], verbs: ${verbs} }]\n`;
    writeFileSync(file, role("[get]"));
    assert.match(await kubectl("auth", "reconcile", "-f", file), /role.rbac.authorization.k8s.io\/r reconciled/);
    writeFileSync(file, role("[list]"));
    await kubectl("auth", "reconcile", "-f", file);
    assert.equal(await kubectl("get", "role", "r", "-n", ns, "-o", "jsonpath={.rules[*].verbs}"), '["get"] ["list"]');
  });

  test("describe shows what a default role gives", async () => {
    assert.match(
      await kubectl("describe", "clusterrole", "system:kube-scheduler"),
      /pods\/binding +\[\] +\[\] +\[create\]/,
    );
    assert.match(await kubectl("get", "clusterrolebinding", "cluster-admin"), /ClusterRole\/cluster-admin/);
  });
});
