import { type Addresses, switchIp } from "./addresses.ts";
import { apiserverNames, hasBalancer, type LabFile } from "./lab-file.ts";

/**
 * The shell scripts that make a lab's network, as text. One switch; everything else is a namespace with one cable to it
 * and a default route there. The lab's own root is the router between nodes' Pod ranges (routes come as nodes get their
 * ranges); what no node has ends in a black hole, and there is no way out.
 *
 * Traps that shaped them: a bridge takes the lowest MAC of its ports unless it is given one, and then neighbours talk
 * to a gateway that moved; a veth's other end goes away some time after its namespace, so its name is freed by hand.
 * The scripts end in a read of stdin: the machine's first process lives as long as the supervisor holds the other end,
 * and, being a shell that waits, reaps orphans.
 */
export interface Place {
  name: string;
  ip: string;
}

/** Places that are only a network; nodes are machines of their own. */
export function placesOf(lab: LabFile, { inside }: Addresses): Place[] {
  const members = Array.from({ length: lab.members }, (_, i) => ({ name: `etcd-${i + 1}`, ip: inside.member(i + 1) }));
  return [
    ...members,
    ...apiserverNames(lab).map((name, i) => ({ name, ip: inside.apiserver(i + 1) })),
    ...(hasBalancer(lab) ? [{ name: "balancer", ip: inside.balancer }] : []),
    { name: "controller-manager", ip: inside.controllerManager },
    { name: "scheduler", ip: inside.scheduler },
  ];
}

/** Run as the first process of the lab's namespaces; prints `ready`. `pins` is a directory to hide under a tmpfs. */
export function labScript(places: Place[], { clusterCidr, serviceCidr }: Addresses, pins: string): string {
  return `set -e
mount -t tmpfs -o mode=0700 tmpfs ${quote(pins)}
cd ${quote(pins)}
: >lab
mount --bind /proc/self/ns/net lab
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 0 | tee /proc/sys/net/ipv4/conf/all/send_redirects >/proc/sys/net/ipv4/conf/default/send_redirects
ip -batch - <<E
link set lo up
link add sw type bridge
link set sw address 02:00:00:00:00:fe up
addr add ${switchIp}/24 dev sw
E
ip route add blackhole ${clusterCidr}
ip route add blackhole ${serviceCidr}
${places.map(({ name }) => `: >${name}`).join("\n")}
${places.map((place) => `unshare --net=${place.name} ip -batch - <<E &\n${cable(place, "1")}E`).join("\n")}
wait
ip -batch - <<E
${places.map(({ name }) => `link set ${deviceOf(name)} master sw up`).join("\n")}
E
${heldByStdin}`;
}

/** Run as the first process of a node, inside the lab's mount namespace. */
export function nodeScript(node: Place, pins: string): string {
  const lab = `${pins}/lab`;
  return `set -e
nsenter --net=${quote(lab)} ip link del ${deviceOf(node.name)} 2>/dev/null || :
ip -batch - <<E
${cable(node, lab)}E
nsenter --net=${quote(lab)} ip link set ${deviceOf(node.name)} master sw up
${heldByStdin}`;
}

const heldByStdin = `echo ready
cat >/dev/null
exit 0
`;

/** `lab` names the namespace of the switch: a process id there, or a file. */
function cable({ name, ip }: Place, lab: string): string {
  return `link set lo up
link add eth0 type veth peer name ${deviceOf(name)} netns ${lab}
addr add ${ip}/24 dev eth0
link set eth0 up
route add default via ${switchIp}
`;
}

/** At most 15 bytes: what the kernel takes for a device name. */
function deviceOf(place: string): string {
  return place === "controller-manager" ? "controllers" : place;
}

function quote(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`;
}
