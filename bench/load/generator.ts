import { assert } from "../../base/assert.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import { type Rand, seededRand } from "../../base/rand.ts";
import { type Call, ClientConnection, type ClientStream, connectionLost } from "./connection.ts";
import { Histogram } from "./histogram.ts";
import {
  drainMs,
  keyMark,
  type LoadJob,
  type LoadResult,
  type Rest,
  stampsIn,
  Template,
  type WatchJob,
} from "./job.ts";
import { MessageSplitter } from "./messages.ts";
import { Schedule } from "./schedule.ts";

/**
 * Sends the requests of one job and counts the answers. Every request has an intended time: in a closed loop when the
 * one before it was answered, in an open loop what the schedule says. Latency runs from there to the last octet of the
 * answer. The timer of the event loop is a millisecond coarse; answers that arrive send what is due, too.
 */
export async function generate(job: LoadJob, clock: Clock): Promise<LoadResult> {
  const generator = new Generator(job, clock);
  try {
    return await generator.run();
  } finally {
    generator.close();
  }
}

/** One request on its way. */
class Request implements Call {
  readonly lane: number;
  readonly intended: number;
  readonly #generator: Generator;
  #bytes = 0;

  constructor(generator: Generator, lane: number, intended: number) {
    this.#generator = generator;
    this.lane = lane;
    this.intended = intended;
  }

  onData(payload: Buffer): void {
    this.#bytes += payload.length;
  }

  /** On a long call: one message is the whole answer. */
  answer(message: Buffer): void {
    this.#generator.answered(this, 0, "", message.length);
  }

  onEnd(status: number, message: string): void {
    this.#generator.answered(this, status, message, this.#bytes);
  }
}

/** A connection with, for streaming jobs, its long call and the requests that wait on it, oldest first. */
interface Lane {
  connection: ClientConnection;
  stream: ClientStream | undefined;
  waiting: Request[];
}

class Generator {
  readonly #job: LoadJob;
  readonly #clock: Clock;
  readonly #rand: Rand;
  readonly #templates: Template[];
  readonly #lanes: Lane[] = [];
  readonly #watchConnections: ClientConnection[] = [];
  readonly #latency = new Histogram();
  readonly #lateness = new Histogram();
  readonly #eventLatency = new Histogram();
  readonly #errors: Record<string, number> = {};
  readonly #pending = new Set<Request>();
  #schedule: Schedule | undefined;
  #turn = 0;
  #flushPlanned = false;
  #began = 0;
  #from = 0;
  #until = 0;
  #inWindow = 0;
  #answered = 0;
  #events = 0;
  #eventsInWindow = 0;
  #settled: () => void = () => {};
  #allAnswered: () => void = () => {};
  readonly #counted = new Promise<void>((resolve) => (this.#allAnswered = resolve));

  constructor(job: LoadJob, clock: Clock) {
    this.#job = job;
    this.#clock = clock;
    this.#rand = seededRand(job.seed);
    this.#templates = job.bodies.map((body) => new Template(body));
  }

  async run(): Promise<LoadResult> {
    const job = this.#job;
    for (let i = 0; i < job.connections; i++) {
      const connection = await connect(job.targets[i % job.targets.length]!, job.rest);
      const lane: Lane = { connection, stream: undefined, waiting: [] };
      if (job.streaming) lane.stream = connection.open(job.path, this.#streamCall(lane));
      this.#lanes.push(lane);
    }
    await this.#watch();
    const cpu = process.cpuUsage();
    this.#began = this.#clock.monotonic();
    this.#from = this.#began + job.warmupMs;
    this.#until = this.#from + job.measureMs;
    const settled = new Promise<void>((resolve) => (this.#settled = resolve));
    if (job.arrivals.type === "open") {
      this.#schedule = new Schedule(this.#began, job.arrivals.perSecond, this.#rand);
      this.#pump();
    } else {
      for (let i = 0; i < job.arrivals.inFlight; i++) this.#send(i % job.connections, this.#began);
      this.#flush();
    }
    await Promise.race([sleep(this.#clock, this.#until - this.#clock.monotonic()), this.#counted]);
    const { user, system } = process.cpuUsage(cpu);
    const cores = (user + system) / 1000 / (this.#clock.monotonic() - this.#began);
    const deadline = new AbortController();
    const cancel = this.#clock.after(drainMs, () => deadline.abort());
    this.#checkSettled();
    await Promise.race([settled, new Promise((resolve) => deadline.signal.addEventListener("abort", resolve))]);
    cancel();
    return this.#result(cores);
  }

  close(): void {
    this.#settled = () => {};
    for (const { connection } of this.#lanes) connection.close();
    for (const connection of this.#watchConnections) connection.close();
  }

  answered(request: Request, status: number, message: string, bytes: number): void {
    const now = this.#clock.monotonic();
    this.#pending.delete(request);
    if (status !== 0) this.#error(`${status === connectionLost || this.#job.rest ? "" : `gRPC ${status}: `}${message}`);
    else if (bytes < (this.#job.minReplyBytes ?? 0)) this.#error(`an answer of ${bytes} bytes`);
    else {
      this.#answered++;
      if (this.#answered === this.#job.count) {
        this.#until = now;
        this.#allAnswered();
      }
      if (now >= this.#from && now < this.#until) this.#inWindow++;
      if (request.intended >= this.#from && request.intended < this.#until)
        this.#latency.record((now - request.intended) * 1000);
    }
    if (now >= this.#until) this.#checkSettled();
    else if (this.#schedule !== undefined) this.#sendDue(now);
    else if (status !== connectionLost) this.#send(request.lane, now);
  }

  #send(lane: number, intended: number): void {
    if (this.#job.count !== undefined && this.#turn >= this.#job.count) return;
    const { connection, stream, waiting } = this.#lanes[lane]!;
    const template = this.#templates[this.#turn++ % this.#templates.length]!;
    const { keys, firstKey, path } = this.#job;
    const key = firstKey === undefined ? this.#rand.below(keys) : firstKey + this.#turn - 1;
    const body = template.fill(key, (intended - this.#began) * 1000);
    const request = new Request(this, lane, intended);
    this.#pending.add(request);
    if (stream === undefined) connection.unary(path.replace(keyMark, `${key}`.padStart(8, "0")), body, request);
    else {
      waiting.push(request);
      connection.message(stream, body);
    }
  }

  #pump(): void {
    const now = this.#clock.monotonic();
    this.#sendDue(now);
    const { next } = this.#schedule!;
    if (next >= this.#until) this.#checkSettled();
    else this.#clock.after(Math.max(0, next - this.#clock.monotonic()), () => this.#pump());
  }

  #sendDue(now: number): void {
    const schedule = this.#schedule!;
    if (schedule.next > now) return;
    for (let lane = this.#turn; schedule.next <= now && schedule.next < this.#until; schedule.advance()) {
      if (schedule.next >= this.#from) this.#lateness.record((now - schedule.next) * 1000);
      this.#send(lane++ % this.#lanes.length, schedule.next);
    }
    // Once for all answers of this turn.
    if (!this.#flushPlanned) queueMicrotask(() => this.#flush());
    this.#flushPlanned = true;
  }

  #flush(): void {
    this.#flushPlanned = false;
    for (const { connection } of this.#lanes) connection.flush();
  }

  #streamCall(lane: Lane): Call {
    const splitter = new MessageSplitter();
    return {
      onData: (payload) => splitter.push(payload, (message) => lane.waiting.shift()?.answer(message)),
      onEnd: (status, message) => {
        for (const request of lane.waiting.splice(0)) request.onEnd(status === 0 ? connectionLost : status, message);
      },
    };
  }

  /** Opens the watchers and waits until the store has confirmed each. */
  async #watch(): Promise<void> {
    const { watch } = this.#job;
    if (watch === undefined) return;
    const { rest } = this.#job;
    const create = Buffer.from(watch.create, "base64");
    for (let i = 0; i < watch.streams; i++) {
      const connection = await connect(watch.targets[i % watch.targets.length]!, rest && { ...rest, method: "GET" });
      this.#watchConnections.push(connection);
      if (rest !== undefined) {
        await this.#watchRest(connection, watch);
        continue;
      }
      await new Promise<void>((resolve, reject) => {
        let created = 0;
        const splitter = new MessageSplitter();
        const onMessage = (message: Buffer) => {
          if (++created === watch.watchersPerStream) resolve();
          stampsIn(message, (us) => this.#event(us));
        };
        const stream = connection.open(watch.path, {
          onData: (payload) => splitter.push(payload, onMessage),
          onEnd: (status, message) => {
            reject(new Error(`watch ended: ${status} ${message}`));
            this.#error(`watch ended: ${status} ${message}`);
          },
        });
        for (let n = 0; n < watch.watchersPerStream; n++) connection.message(stream, create);
        connection.flush();
      });
    }
  }

  /** One event a line; a line may come in pieces. */
  async #watchRest(connection: ClientConnection, { path, watchersPerStream }: WatchJob): Promise<void> {
    const one = () =>
      new Promise<void>((onHeaders) => {
        let rest: Buffer | undefined;
        connection.unary(path, Buffer.alloc(0), {
          onHeaders,
          onData: (payload) => {
            const end = payload.lastIndexOf(0x0a);
            const whole = end < 0 ? undefined : payload.subarray(0, end);
            if (whole) stampsIn(rest ? Buffer.concat([rest, whole]) : whole, (us) => this.#event(us));
            const tail = payload.subarray(end + 1); // a view of what will be overwritten
            if (whole) rest = undefined;
            if (tail.length > 0) rest = rest ? Buffer.concat([rest, tail]) : Buffer.from(tail);
          },
          onEnd: (status, message) => {
            onHeaders();
            this.#error(`watch ended: ${status} ${message}`);
          },
        });
      });
    const all = Array.from({ length: watchersPerStream }, one);
    connection.flush();
    await Promise.all(all);
  }

  #event(us: number): void {
    const now = this.#clock.monotonic();
    const intended = this.#began + us / 1000;
    this.#events++;
    if (now >= this.#from && now < this.#until) this.#eventsInWindow++;
    if (intended >= this.#from && intended < this.#until) this.#eventLatency.record((now - intended) * 1000);
    if (now >= this.#until) this.#checkSettled();
  }

  get #missingEvents(): number {
    const { watch } = this.#job;
    return watch === undefined ? 0 : this.#answered * watch.streams * watch.watchersPerStream - this.#events;
  }

  #checkSettled(): void {
    const allSent = this.#schedule === undefined || this.#schedule.next >= this.#until;
    if (allSent && this.#pending.size === 0 && this.#missingEvents <= 0) this.#settled();
  }

  #error(text: string): void {
    this.#errors[text] = (this.#errors[text] ?? 0) + 1;
  }

  #result(cores: number): LoadResult {
    const now = this.#clock.monotonic();
    for (const { intended } of this.#pending)
      if (intended >= this.#from && intended < this.#until) this.#latency.record((now - intended) * 1000);
    const seconds = this.#job.measureMs / 1000;
    const result: LoadResult = {
      perSecond: this.#inWindow / seconds,
      answered: this.#answered,
      unanswered: this.#pending.size,
      errors: { ...this.#errors }, // of now: closing ends the watches, too
      latency: this.#latency.toJson(),
      lateness: this.#lateness.toJson(),
      cores,
    };
    if (this.#job.watch === undefined) return result;
    const events = {
      perSecond: this.#eventsInWindow / seconds,
      missing: Math.max(0, this.#missingEvents),
      latency: this.#eventLatency.toJson(),
    };
    return { ...result, events };
  }
}

function connect(target: string, rest?: Rest): Promise<ClientConnection> {
  const [host, port] = target.split(":");
  assert(host !== undefined && port !== undefined, `"${target}" is not host:port`);
  return ClientConnection.connect(host, Number(port), rest);
}
