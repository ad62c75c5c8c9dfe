import { none } from "../../../etcd-raft/raft/types.ts";
import { Reply } from "../../../net/reply.ts";
import type { SimMember } from "../sim-member.ts";

/** Errors built in on purpose, to see that the checkers find them. */
export type PlantedFault =
  | "forgotten vote"
  | "forgetful disk"
  | "early acknowledgement"
  | "stale read"
  | "double apply"
  | "wrong branch"
  | "early snapshot"
  | "skipped event"
  | "repeated event"
  | "short lease";

/** Breaks a member that has just read its data. */
export function plant(fault: PlantedFault, who: SimMember): void {
  const member = who.member!;
  const { applier, runner } = member;
  switch (fault) {
    case "forgotten vote":
      runner.raft.vote = none;
      break;
    case "forgetful disk":
      who.disk.lies = true;
      break;
    case "early acknowledgement": {
      const submit = member.submit.bind(member);
      member.submit = (request, caller) => {
        const reply = submit(request, caller);
        if (!request.put) return reply as never;
        const early = new Reply<unknown>();
        early.resolve({ header: member.header(applier.store.revision + 1) });
        return early as never;
      };
      break;
    }
    case "stale read":
      member.read = (read) => {
        const reply = new Reply<ReturnType<typeof read>>();
        try {
          reply.resolve(read());
        } catch (error) {
          reply.reject(error);
        }
        return reply;
      };
      break;
    case "double apply": {
      const apply = applier.apply.bind(applier);
      applier.apply = (entry, request) => {
        const response = apply(entry, request);
        if (entry.index % 10 === 0) apply(entry, request);
        return response;
      };
      const applyPlainPut = applier.applyPlainPut.bind(applier);
      applier.applyPlainPut = (entry, put) => {
        const done = applyPlainPut(entry, put);
        if (done && entry.index % 10 === 0) applyPlainPut(entry, put);
        return done;
      };
      break;
    }
    case "wrong branch": {
      const apply = applier.apply.bind(applier);
      applier.apply = (entry, request) => {
        if (!request?.txn || entry.index % 10 !== 0) return apply(entry, request);
        const { compare, success, failure } = request.txn;
        return apply(entry, { ...request, txn: { compare, success: failure, failure: success } });
      };
      break;
    }
    case "early snapshot": {
      const state = applier.state.bind(applier);
      applier.state = () => {
        const now = state();
        return { ...now, consistentIndex: now.consistentIndex - (now.consistentIndex % 8) };
      };
      break;
    }
    case "skipped event":
    case "repeated event": {
      const deliver = who.services!.watch;
      let count = 0;
      who.services!.watch = (context, call) => {
        const send = Object.assign(
          (response: Parameters<typeof call.send>[0]) => {
            const times = response.events.length > 0 && ++count % 20 === 0 ? (fault === "skipped event" ? 0 : 2) : 1;
            let more = true;
            for (let i = 0; i < times; i++) more = call.send(response);
            return more;
          },
          { drained: () => call.send.drained() },
        );
        return deliver(context, { ...call, send });
      };
      break;
    }
    case "short lease": {
      const { lessor } = applier;
      const expired = lessor.expired.bind(lessor);
      lessor.expired = (now, limit) => expired(now + 1800, limit);
      break;
    }
  }
}
