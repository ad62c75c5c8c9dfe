/**
 * The two shell scripts of a container, made for it alone: reading them tells all that happens.
 *
 * `shim.sh` outlives agent and runtime. It records itself in `shim` (its /proc/PID/stat line; O_EXCL, so that a container
 * starts once), runs the container, and writes its exit code to `exit`. Then it stays, holding the log FIFOs open until the
 * runtime has read them and kills it: what waits in a FIFO is lost with its last opener.
 *
 * `setup.sh` is the container's first process. It records itself in `init`, builds the root file system, leaves the old
 * one, and becomes the program. Until then errors go to `status`, and the container's stderr waits as descriptor 4; a line
 * "ok" in `status` means that the program was started.
 */
export interface ContainerScripts {
  /** The container's directory, with `skel` and `fstab` in it. */
  dir: string;
  /** Pid of the sandbox's pause process; undefined in host mode (no namespaces). */
  pausePid: number | undefined;
  /** An empty directory to assemble the root on. */
  rootMountPoint: string;
  argv: string[];
  env: [string, string][];
  workingDir: string;
  /** `cgroup.procs` files to join. */
  cgroupProcs: string[];
  oomScoreAdj: number;
  /** Arguments of setpriv(1); undefined to keep what we have. */
  privileges: string[] | undefined;
  readonlyRootfs: boolean;
}

export function shimScript({ dir, pausePid }: ContainerScripts): string {
  const setup = quote(`${dir}/setup.sh`);
  const enter =
    pausePid === undefined
      ? `sh ${setup}`
      : `nsenter --target ${pausePid} --net --uts --ipc -- unshare --pid --mount --propagation private sh -c 'sh "$0"; exit $?' ${setup}`;
  return `cd ${quote(dir)} || exit 125
exec 4>&2 2>> status
set -C
read -r stat < /proc/$$/stat && echo "$stat" > shim || exit 125
set +C
# The inner shell's first child is process 1 of the new PID namespace. (unshare --fork would hide a SIGKILL from us.)
${enter}
code=$?
until { echo $code > exit.tmp && mv exit.tmp exit; }; do sleep 1; done # a full disk passes
exec sleep infinity
`;
}

export function setupScript(container: ContainerScripts): string {
  const { dir, argv, env, workingDir, pausePid, rootMountPoint, privileges } = container;
  const root = quote(rootMountPoint);
  const joins = container.cgroupProcs.map((file) => `echo 0 > ${quote(file)}`);
  const variables = env.map(([name, value]) => quote(`${name}=${value}`)).join(" ");
  const pivot = [
    `mount -t tmpfs -o mode=0755 tmpfs ${root}`,
    `cp -a ${quote(`${dir}/skel`)}/. ${root}/`,
    `mount --all --fstab ${quote(`${dir}/fstab`)}`,
    `cd ${root}`,
    "pivot_root . .old",
    "cd /",
    "umount -l /.old",
    "rmdir /.old",
    ...(container.readonlyRootfs ? ["mount -o remount,ro /"] : []),
  ];
  return `${[
    "umask 022",
    `read -r stat < /proc/self/stat; echo "$stat" > ${quote(`${dir}/init`)}`,
    "set -e",
    ...joins,
    ...(container.oomScoreAdj === 0 ? [] : [`echo ${container.oomScoreAdj} > /proc/self/oom_score_adj || :`]),
    ...(pausePid === undefined ? [] : pivot),
    `mkdir -p -- ${quote(workingDir)} && cd -- ${quote(workingDir)}`,
    ...find(argv[0]!, env),
    "echo ok >&2",
    `exec ${privileges === undefined ? "" : `setpriv ${privileges.map(quote).join(" ")} `}env -i -- ${variables} "$found" ${argv.slice(1).map(quote).join(" ")} 2>&4 4>&-`,
  ].join("\n")}\n`;
}

/** Sets $found to the program's path, searched as execvp does, or ends with runc's words. */
function find(program: string, env: [string, string][]): string[] {
  const give = (why: string) => `{ echo ${quote(`exec: "${program}": ${why}`)} >&2; exit 127; }`;
  if (program.includes("/"))
    return [`found=${quote(program)}`, `[ -e "$found" ] || ${give(`stat ${program}: no such file or directory`)}`];
  const folders = (env.findLast(([name]) => name === "PATH")?.[1] ?? "").split(":").map((folder) => folder || ".");
  return [
    `found= name=${quote(program)}`,
    `for folder in ${folders.map(quote).join(" ")}; do`,
    '  if [ -f "$folder/$name" ] && [ -x "$folder/$name" ]; then found=$folder/$name; break; fi',
    "done",
    `[ -n "$found" ] || ${give("executable file not found in $PATH")}`,
  ];
}

/** The pause process: holds the sandbox's namespaces, and nothing else. Says "ready" when it has its name. */
export function pauseScript(dir: string, hostname: string): string {
  const name = quote(hostname);
  const setName = `hostname ${name} 2> /dev/null || echo ${name} > /proc/sys/kernel/hostname || exit 1\n`;
  return `${hostname === "" ? "" : setName}read -r stat < /proc/$$/stat && echo "$stat" > ${quote(`${dir}/pause`)} || exit 1
echo ready
exec sleep infinity > /dev/null 2>&1
`;
}

export function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
