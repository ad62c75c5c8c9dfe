import bcrypt from "bcryptjs";

/**
 * bcrypt hashes as etcd makes and reads them ($2a$, cost 10), one at a time: each takes a good part of a tenth of a second
 * of this thread, which heartbeats must survive.
 */
export function hashPassword(password: string, cost: number): Promise<string> {
  return inTurn(async () => (await bcrypt.hash(password, cost)).replace(/^\$2b\$/, "$2a$"));
}

export function isPassword(password: string, hash: Uint8Array): Promise<boolean> {
  return inTurn(() => bcrypt.compare(password, Buffer.from(hash).toString()));
}

let last: Promise<unknown> = Promise.resolve();

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const next = last.then(work, work);
  last = next.catch(() => {});
  return next;
}
