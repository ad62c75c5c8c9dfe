import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, test } from "vitest";
import { sleep, systemClock } from "../../base/clock.ts";
import { Code, type GrpcError } from "../../net/grpc-error.ts";
import {
  type ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  ImageServiceService,
  NamespaceMode,
  PodSandboxState,
  RuntimeServiceService,
} from "../../proto/generated/runtime.v1.ts";
import { findHierarchies } from "./cgroup.ts";
import { parseMountinfo } from "./mountinfo.ts";
import { nodeIp, type Place, TestNode, until } from "./testing.ts";

/** A test of something that this place does not have is absent there, not skipped: a skip would mean a missing peer. */
function testIn(applies: boolean): (name: string, run: () => Promise<void>) => void {
  return applies ? test : () => {};
}

/** The runtime as a process, driven over CRI as an agent does it. */
const places: Record<Place, string> = {
  root: "as root in namespaces",
  user: "as an ordinary user in a user namespace",
  host: "in host mode, as an ordinary user",
};

for (const [place, title] of Object.entries(places) as [Place, string][]) {
  describe.skipIf(!possible(place))(title, () => {
    const node = new TestNode(place);
    const isolated = place !== "host";
    const rt = RuntimeServiceService;
    beforeAll(() => node.start());
    afterEach(() => node.removeAllPods()); // what a failed test left must not fail the next
    afterAll(() => node.close());

    test("echo answers on the Pod's address and says who it is; a graceful stop ends with 0", async () => {
      const pod = await node.runPod("web");
      const envs = { NODE_NAME: "node-1", POD_NAME: "web", POD_IP: pod.ip };
      const id = await node.runContainer(pod.id, {
        image: { image: "kubelab/echo:v2" },
        envs: Object.entries(envs).map(([key, value]) => ({ key, value: Buffer.from(value) })),
      });
      const answer = JSON.parse(await node.fetch(pod.ip, { json: true }));
      assert.equal(answer.pod, "web");
      assert.equal(answer.node, "node-1");
      assert.equal(answer.ip, pod.ip);
      assert.equal(answer.image, "kubelab/echo:v2");
      if (isolated) assert.ok(answer.client.startsWith(`${nodeIp}:`), "the node is seen by its own address");
      const stopped = node.cri.unary(rt.StopContainer, { containerId: id, timeout: 30 });
      await until("it knows that it leaves", () => node.log("web.log").some((line) => line.includes("SIGTERM")));
      assert.equal(await node.fetch(pod.ip, { path: "/healthz" }), "ok");
      await stopped;
      const status = await node.status(id);
      assert.deepEqual(
        [status.state, status.exitCode, status.reason],
        [ContainerState.CONTAINER_EXITED, 0, "Completed"],
      );
      assert.ok(status.createdAt > 0n && status.startedAt >= status.createdAt && status.finishedAt > status.startedAt);
      await node.removePod(pod.id);
      assert.deepEqual(node.leftOver(), []);
    });

    test("a killed container's successor has the same Pod address; the Pod sandbox stays ready", async () => {
      const pod = await node.runPod("phoenix");
      const echo = { image: { image: "kubelab/echo" } };
      const first = await node.runContainer(pod.id, echo);
      await node.fetch(pod.ip);
      node.kill((await node.status(first)).pid);
      const status = await node.exited(first);
      assert.deepEqual([status.exitCode, status.reason], [137, "Error"]);
      const second = await node.runContainer(pod.id, { ...echo, metadata: { name: "main", attempt: 1 } });
      await node.fetch(pod.ip);
      const { status: sandbox } = await node.cri.unary(rt.PodSandboxStatus, { podSandboxId: pod.id });
      assert.deepEqual([sandbox!.state, sandbox!.network!.ip], [PodSandboxState.SANDBOX_READY, pod.ip]);
      await node.cri.unary(rt.RemoveContainer, { containerId: second });
      await node.removePod(pod.id);
      assert.deepEqual(node.leftOver(), []);
    });

    test("kill -9 of the runtime: containers live on, and are adopted with every log line and exit code", async () => {
      const pod = await node.runPod("orphan");
      const go = place === "host" ? join(node.dir, "volume") : "/go";
      const mounts = [{ hostPath: join(node.dir, "volume"), containerPath: "/go" }];
      const script = `i=0; while [ ! -e ${go}/go ]; do i=$((i+1)); echo line $i; sleep 0.02; done; echo last $i; exit 42`;
      const count = { command: ["sh", "-c", script], mounts };
      const counting = await node.runContainer(pod.id, { ...count, logPath: "count.log" });
      const echo = await node.runContainer(pod.id, {
        image: { image: "kubelab/echo" },
        metadata: { name: "echo", attempt: 0 },
        logPath: "echo.log",
      });
      await until("lines come", () => node.log("count.log").length > 5);
      await node.killRuntime();
      await node.fetch(pod.ip);
      writeFileSync(join(node.dir, "volume/go"), ""); // ends while nobody watches
      await until("it has ended", () => !node.processes().some((line) => line.includes("echo line")));
      await node.startRuntime();
      await node.cri.ready(10_000);
      const status = await node.exited(counting);
      assert.deepEqual([status.exitCode, status.reason], [42, "Error"]);
      const lines = node.log("count.log").map((line) => line.replace(/^stdout /, ""));
      const total = lines.length - 1;
      assert.deepEqual(lines, [...Array.from({ length: total }, (_, i) => `line ${i + 1}`), `last ${total}`]);
      assert.equal((await node.status(echo)).state, ContainerState.CONTAINER_RUNNING);
      const before = node.log("echo.log").length;
      await node.fetch(pod.ip);
      await until("the adopted one is logged", () => node.log("echo.log").length > before);
      const { status: sandbox } = await node.cri.unary(rt.PodSandboxStatus, { podSandboxId: pod.id });
      assert.deepEqual([sandbox!.state, sandbox!.network!.ip], [PodSandboxState.SANDBOX_READY, pod.ip]);
      const other = await node.runPod("another");
      assert.notEqual(other.ip, pod.ip, "the address is still taken");
      await node.removePod(other.id);
      await node.removePod(pod.id);
      assert.deepEqual(node.leftOver(), []);
    });

    test("kill -9 of a container that was adopted is seen", async () => {
      const pod = await node.runPod("adopted");
      const id = await node.runContainer(pod.id, { command: ["sleep", "1000"] });
      await node.killRuntime();
      await node.startRuntime();
      await node.cri.ready(10_000);
      node.kill((await node.status(id)).pid);
      assert.equal((await node.exited(id)).exitCode, 137);
      await node.removePod(pod.id);
    });

    test("what died with its shim while no runtime was there is known to have ended, the log kept so far", async () => {
      const pod = await node.runPod("reboot");
      const id = await node.runContainer(pod.id, { command: ["sh", "-c", "echo was here; sleep 4444"] });
      await until("it was here", () => node.log("reboot.log").length === 1);
      const { pid } = await node.status(id);
      const shim = Number.parseInt(readFileSync(join(node.dir, "state/containers", id, "shim"), "utf8"), 10);
      await node.killRuntime();
      for (const each of [shim, pid]) node.kill(each);
      await node.startRuntime();
      await node.cri.ready(10_000);
      const status = await node.exited(id);
      assert.deepEqual([status.exitCode, status.reason], [255, "Unknown"]);
      assert.deepEqual(node.log("reboot.log"), ["stdout was here"]);
      await until("the rest of it is gone", () => !node.processes().some((line) => line.includes("4444")));
      await node.removePod(pod.id);
      assert.deepEqual(node.leftOver(), []);
    });

    test("wherever in a Pod's start or end the runtime is killed, its successor can clean up everything", async () => {
      for (const afterMs of [3, 12, 24, 45, 80]) {
        const life = (async () => {
          const pod = await node.runPod(`chaos-${afterMs}`);
          await node.runContainer(pod.id, { command: ["sleep", "4545"] });
          await node.removePod(pod.id);
        })().catch(() => {}); // Unavailable: that is the point
        await sleep(systemClock, afterMs); // no wait for an event: any moment will do
        await node.killRuntime();
        await life;
        await node.startRuntime();
        await node.cri.ready(10_000);
        await node.removeAllPods();
        await until(`nothing is left after ${afterMs} ms`, () => node.leftOver().length === 0 || undefined);
      }
    });

    test("command, args, env, working directory and both streams are the container's", async () => {
      const pod = await node.runPod("words");
      const id = await node.runContainer(pod.id, {
        command: ["sh", "-c", 'echo "$1|$A.|$IMAGE_TAG|$HOSTNAME|$(pwd)"; echo oops >&2; printf tail', "sh"],
        args: ["it's $HOME"],
        image: { image: "docker.io/library/busybox:1.36" },
        envs: [
          { key: "A", value: Buffer.from("a b\n'c'") },
          { key: "-u", value: Buffer.from("a name that env(1) would take for a flag") },
        ],
        workingDir: isolated ? "/some/where" : "",
      });
      assert.equal((await node.exited(id)).exitCode, 0);
      const pwd = isolated ? "/some/where" : join(node.dir, "state/containers", id, "work");
      const text = node.log("words.log").sort();
      assert.deepEqual(text, [
        "stderr oops",
        "stdout 'c'.|1.36|words|PWD".replace("PWD", pwd),
        "stdout it's $HOME|a b",
        "stdout tail",
      ]);
      await node.removePod(pod.id);
    });

    testIn(isolated)(
      "a container sees its own root, processes and network, and nothing else of the machine",
      async () => {
        const pod = await node.runPod("jail");
        writeFileSync(join(node.dir, "volume/file"), "content");
        const script = [
          "ls /",
          "cat /data/file /etc/hosts /etc/resolv.conf",
          "touch /data/new /usr/new /tmp/new /new && echo wrote",
          `ls ${node.dir} /root/.. 2>&1`,
          "echo $$; ls -d /proc/[0-9]*; hostname; ls /sys/class 2>/dev/null; cat /proc/net/dev",
          "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness",
          "grep -E '^Cap(Prm|Bnd)' /proc/self/status; ls /dev /old 2>&1",
        ].join("; ");
        const mounts = [{ hostPath: join(node.dir, "volume"), containerPath: "/data", readonly: true }];
        const id = await node.runContainer(pod.id, { command: ["sh", "-c", script], mounts, logPath: "jail.log" });
        await node.exited(id);
        const text = node
          .log("jail.log")
          .map((line) => line.replace(/^std... /, ""))
          .join("\n");
        const root = text
          .slice(0, text.indexOf("content"))
          .split("\n")
          .filter((name) => !/^lib|^bin$|^sbin$/.test(name));
        assert.deepEqual(root.filter(Boolean), [
          "data",
          "dev",
          "etc",
          "home",
          "mnt",
          "opt",
          "proc",
          "root",
          "run",
          "srv",
          "tmp",
          "usr",
          "var",
        ]);
        assert.match(text, new RegExp(`${pod.ip}\tjail`));
        assert.match(text, /nameserver 10\.96\.0\.10\nsearch cluster\.local\noptions ndots:5/);
        assert.match(text, /cannot touch '\/data\/new': Read-only file system/);
        assert.match(text, /cannot touch '\/usr\/new': Read-only file system/);
        assert.doesNotMatch(text, /cannot touch '\/(tmp\/)?new'/);
        assert.match(text, new RegExp(`cannot access '${node.dir}'`));
        assert.match(text, /^1\n\/proc\/1\n/m, "its first process is 1, and there is none beside it but ls");
        assert.match(text, /^jail$/m);
        assert.match(text, /eth0/);
        assert.match(text, /cannot create \/proc\/sys\/vm\/swappiness: Read-only file system/);
        assert.match(
          text,
          /CapPrm:\t00000000a00425fb|CapPrm:\t00000000a0(04|00)25[0-9a-f]{2}/,
          "mount and mknod are not allowed",
        );
        await node.removePod(pod.id);
      },
    );

    testIn(isolated)("Pods reach one another and themselves by their addresses", async () => {
      const [a, b] = [await node.runPod("a"), await node.runPod("b")];
      await node.runContainer(a.id, { image: { image: "kubelab/echo" }, logPath: "a.log" });
      await node.fetch(a.ip);
      for (const pod of [a, b]) {
        const command = ["curl", "-sS", "--max-time", "5", "-H", "accept: application/json", `http://${a.ip}:8080/`];
        const id = await node.runContainer(pod.id, {
          command,
          metadata: { name: "client", attempt: 0 },
          logPath: "client.log",
        });
        assert.equal((await node.exited(id)).exitCode, 0);
        const line = node.log("client.log").at(-1)!;
        assert.ok(line.includes(`"client":"${pod.ip}:`), `the source is the Pod's own address: ${line}`);
      }
      for (const pod of [a, b]) await node.removePod(pod.id);
      assert.deepEqual(node.leftOver(), []);
    });

    test("a program that ignores SIGTERM is killed after the timeout; 137", async () => {
      const pod = await node.runPod("deaf");
      const id = await node.runContainer(pod.id, {
        command: ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"],
      });
      await until("it is up", () => node.log("deaf.log").some((line) => line.endsWith(" up")));
      await node.cri.unary(rt.StopContainer, { containerId: id, timeout: 1 });
      const status = await node.status(id);
      assert.deepEqual([status.state, status.exitCode, status.reason], [ContainerState.CONTAINER_EXITED, 137, "Error"]);
      await node.removePod(pod.id);
      assert.deepEqual(node.leftOver(), []);
    });

    test("what left its process group and session ends with the container", async () => {
      const pod = await node.runPod("daemon");
      const id = await node.runContainer(pod.id, { command: ["sh", "-c", "setsid sleep 4242 & sleep 0.1; exit 3"] });
      assert.equal((await node.exited(id)).exitCode, 3);
      await until("the daemon is gone", () => !node.processes().some((line) => line.includes("4242")));
      await node.removePod(pod.id);
    });

    test("a program that is not there: an error that names it, exit code 128, StartError", async () => {
      const pod = await node.runPod("typo");
      const config = {
        image: { image: "busybox" },
        metadata: { name: "main", attempt: 0 },
        command: ["no-such-program"],
      };
      const { containerId } = await node.cri.unary(rt.CreateContainer, { podSandboxId: pod.id, config });
      await assert.rejects(
        node.cri.unary(rt.StartContainer, { containerId }),
        /exec: "no-such-program": executable file not found in \$PATH/,
      );
      const status = await node.status(containerId);
      assert.deepEqual(
        [status.state, status.exitCode, status.reason],
        [ContainerState.CONTAINER_EXITED, 128, "StartError"],
      );
      await node.removePod(pod.id);
    });

    test("Version and Status: which release, and that Pods can have addresses", async () => {
      const { version } = JSON.parse(readFileSync("package.json", "utf8"));
      const answer = await node.cri.unary(rt.Version, {});
      assert.deepEqual(
        [answer.runtimeName, answer.runtimeVersion, answer.runtimeApiVersion],
        ["kubelab", version, "v1"],
      );
      const { status } = await node.cri.unary(rt.Status, {});
      assert.deepEqual(
        status!.conditions.map(({ type, status }) => [type, status]),
        [
          ["RuntimeReady", true],
          ["NetworkReady", true],
        ],
      );
      const setCidr = (podCidr: string) =>
        node.cri.unary(rt.UpdateRuntimeConfig, { runtimeConfig: { networkConfig: { podCidr } } });
      await assert.rejects(setCidr("10.244.1.0"), (error: GrpcError) => error.code === Code.InvalidArgument);
    });

    test("events tell of each step, so that nobody has to poll", async () => {
      const events: ContainerEventResponse[] = [];
      const stream = node.cri.serverStream(rt.GetContainerEvents, {});
      const reading = (async () => {
        for await (const event of stream) events.push(event);
      })().catch(() => {});
      const seen = (id: string) => events.filter((event) => event.containerId === id).map((e) => e.containerEventType);
      const pods: string[] = [];
      await until("the stream is open", async () => {
        const pod = await node.runPod(`events-${pods.length}`);
        pods.push(pod.id);
        return seen(pod.id).length > 0;
      });
      const podId = pods.at(-1)!;
      const id = await node.runContainer(podId, { command: ["true"] });
      await until("it has stopped", () => seen(id).includes(ContainerEventType.CONTAINER_STOPPED_EVENT));
      const stopped = events.find((e) => e.containerId === id && e.containerEventType === 2);
      assert.equal(stopped!.containersStatuses[0]!.state, ContainerState.CONTAINER_EXITED);
      assert.equal(stopped!.podSandboxStatus!.id, podId);
      for (const pod of pods) await node.removePod(pod);
      await until("the Pod is deleted", () => seen(podId).includes(ContainerEventType.CONTAINER_DELETED_EVENT));
      assert.deepEqual(seen(podId), [0, 1, 2, 3]);
      assert.deepEqual(new Set(seen(id)), new Set([0, 1, 2]));
      stream.cancel();
      await reading;
    });

    test("an unknown image cannot be pulled, and the message lists what can", async () => {
      const pull = (image: string) => node.cri.unary(ImageServiceService.PullImage, { image: { image } });
      await assert.rejects(
        pull("example.com/foo/bar:1.2"),
        (error: GrpcError) =>
          error.code === Code.NotFound && /kubelab\/echo.*busybox|busybox.*kubelab\/echo/.test(error.message),
      );
      const { imageRef } = await pull("kubelab/echo:v7");
      const { image } = await node.cri.unary(ImageServiceService.ImageStatus, { image: { image: imageRef } });
      assert.deepEqual(image!.repoTags, ["kubelab/echo:v7"]);
      assert.equal(image!.id, imageRef);
    });

    testIn(isolated)(
      "a Pod on the node's network has no address of its own and sees the node's interfaces",
      async () => {
        const config = node.podConfig("hostnet");
        const namespaceOptions = { network: NamespaceMode.NODE };
        const linux = { securityContext: { namespaceOptions } };
        const { podSandboxId } = await node.cri.unary(rt.RunPodSandbox, { config: { ...config, linux } });
        const { status } = await node.cri.unary(rt.PodSandboxStatus, { podSandboxId });
        assert.deepEqual([status!.state, status!.network!.ip], [PodSandboxState.SANDBOX_READY, ""]);
        const id = await node.runContainer(podSandboxId, { command: ["ip", "-o", "addr"], logPath: "hostnet.log" });
        await node.exited(id);
        assert.ok(node.log("hostnet.log").some((line) => line.includes(`${nodeIp}/32`)));
        await node.removePod(podSandboxId);
      },
    );

    test("a log that was moved away is begun anew when asked", async () => {
      const pod = await node.runPod("rotate");
      const go = join(node.dir, "volume/rotate");
      const mounts = [{ hostPath: join(node.dir, "volume"), containerPath: "/v" }];
      const script = `echo one; while [ ! -e ${isolated ? "/v/rotate" : go} ]; do sleep 0.02; done; echo two`;
      const id = await node.runContainer(pod.id, { command: ["sh", "-c", script], mounts });
      await until("one", () => node.log("rotate.log").length === 1);
      renameSync(join(node.dir, "logs/rotate.log"), join(node.dir, "logs/rotate.log.1"));
      await node.cri.unary(rt.ReopenContainerLog, { containerId: id });
      writeFileSync(go, "");
      await node.exited(id);
      assert.deepEqual([node.log("rotate.log.1"), node.log("rotate.log")], [["stdout one"], ["stdout two"]]);
      await assert.rejects(node.cri.unary(rt.ReopenContainerLog, { containerId: id }), /container is not running/);
      await node.removePod(pod.id);
    });

    test("when even the shim is killed the container ends with it: 255, Unknown", async () => {
      const pod = await node.runPod("shimless");
      const id = await node.runContainer(pod.id, { command: ["sleep", "4343"] });
      const shim = Number.parseInt(readFileSync(join(node.dir, "state/containers", id, "shim"), "utf8"), 10);
      node.kill(shim);
      const status = await node.exited(id);
      assert.deepEqual([status.exitCode, status.reason], [255, "Unknown"]);
      assert.ok(!node.processes().some((line) => line.includes("4343")));
      await node.removePod(pod.id);
    });

    test("a starting container is not started twice, and a name is given once", async () => {
      const pod = await node.runPod("twice");
      const config = {
        image: { image: "busybox" },
        metadata: { name: "main", attempt: 0 },
        command: ["sleep", "1000"],
      };
      const create = () => node.cri.unary(rt.CreateContainer, { podSandboxId: pod.id, config });
      const { containerId } = await create();
      await assert.rejects(create(), /name "main" is reserved for/);
      const starts = await Promise.allSettled([1, 2].map(() => node.cri.unary(rt.StartContainer, { containerId })));
      assert.deepEqual(starts.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
      await assert.rejects(
        node.cri.unary(rt.RunPodSandbox, { config: node.podConfig("twice") }),
        /failed to reserve sandbox name "twice_default_uid-twice_0"/,
      );
      await node.removePod(pod.id);
      assert.deepEqual(node.leftOver(), []);
    });

    testIn(isolated)("another user: as asked where the machine's users are there, else refused by name", async () => {
      const pod = await node.runPod("someone");
      const linux = { securityContext: { runAsUser: { value: 1234 }, runAsGroup: { value: 2345 } } };
      const run = node.runContainer(pod.id, { command: ["id"], linux });
      if (place === "root") {
        await node.exited(await run);
        assert.match(node.log("someone.log").join(), /uid=1234 gid=2345/);
      } else await assert.rejects(run, /cannot run as user or group 1234/);
      await node.removePod(pod.id);
    });

    testIn(place === "root" && canLimitMemory())("a container over its memory limit is OOMKilled", async () => {
      const pod = await node.runPod("greedy");
      const linux = { resources: { memoryLimitInBytes: 32 * 2 ** 20 } };
      const script = "a=x; while :; do a=$a$a; done";
      const id = await node.runContainer(pod.id, { command: ["sh", "-c", script], linux });
      const status = await node.exited(id);
      assert.deepEqual([status.exitCode, status.reason], [137, "OOMKilled"]);
      await node.removePod(pod.id);
    });

    testIn(place === "root" && canLimitMemory())("stats tell memory and processor time", async () => {
      const pod = await node.runPod("busy");
      await node.runContainer(pod.id, { command: ["sh", "-c", "while :; do :; done"] });
      await until("it has used some of each", async () => {
        const { stats } = await node.cri.unary(rt.ListContainerStats, {});
        const [one] = stats;
        return (one?.memory?.workingSetBytes?.value ?? 0) > 0 && (one?.cpu?.usageCoreNanoSeconds?.value ?? 0) > 0;
      });
      await node.removePod(pod.id);
    });

    test("what is not there: NotFound for status, nothing to do for stop and remove", async () => {
      const [containerId, podSandboxId] = ["0".repeat(64), "0".repeat(64)];
      const notFound = (error: GrpcError) => error.code === Code.NotFound && error.message.endsWith("not found");
      await assert.rejects(node.cri.unary(rt.ContainerStatus, { containerId }), notFound);
      await assert.rejects(node.cri.unary(rt.StartContainer, { containerId }), notFound);
      await assert.rejects(node.cri.unary(rt.PodSandboxStatus, { podSandboxId }), notFound);
      await node.cri.unary(rt.StopContainer, { containerId });
      await node.cri.unary(rt.RemoveContainer, { containerId });
      await node.cri.unary(rt.StopPodSandbox, { podSandboxId });
      await node.cri.unary(rt.RemovePodSandbox, { podSandboxId });
      await assert.rejects(node.cri.unary(rt.ExecSync, {}), (error: GrpcError) => error.code === Code.Unimplemented);
    });

    testIn(isolated)("a pause process that dies makes the Pod sandbox not ready", async () => {
      const pod = await node.runPod("lost");
      const { info } = await node.cri.unary(rt.PodSandboxStatus, { podSandboxId: pod.id, verbose: true });
      node.kill(JSON.parse(info["info"]!).pid);
      await until("it is not ready", async () => {
        const { status } = await node.cri.unary(rt.PodSandboxStatus, { podSandboxId: pod.id });
        return status!.state === PodSandboxState.SANDBOX_NOTREADY;
      });
      await node.removePod(pod.id);
      assert.deepEqual(node.leftOver(), []);
    });
  });
}

function possible(place: Place): boolean {
  const root = process.getuid!() === 0;
  if (place === "root") return root;
  if (place === "host") return true;
  try {
    const user = root ? ["setpriv", "--reuid=61000", "--regid=61000", "--clear-groups"] : [];
    const [command, ...args] = [...user, "unshare", "-Urnm", "ip", "link", "add", "t0", "type", "veth"];
    execFileSync(command!, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function canLimitMemory(): boolean {
  const cgroups = findHierarchies(parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8")));
  return cgroups.memory !== undefined || cgroups.unified !== undefined;
}

test("a socket path over 107 bytes is refused in one line that names it", () => {
  const path = `/tmp/${"x".repeat(110)}/cri.sock`;
  const flags = ["--root-dir=/tmp/x", "--node-name=n", "--node-ip=127.0.0.1", "--images-dir=/tmp"];
  const main = ["--import", "tsx", "node-agent/runtime/main.ts", `--listen=unix://${path}`, ...flags];
  const { status, stderr } = spawnSync(process.execPath, main, { encoding: "utf8" });
  assert.equal(status, 2);
  assert.equal(stderr.trim().split("\n").length, 1);
  assert.ok(stderr.includes("at most 107 bytes") && stderr.includes(path));
});
