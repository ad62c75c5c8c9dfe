import { createHistogram, type RecordableHistogram } from "node:perf_hooks";
import { assert } from "../../base/assert.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import { type Rand, seededRand } from "../../base/rand.ts";
import type { Http2Stream } from "../../net/http2/connection.ts";
import { type Call, connectionLost, LoadConnection } from "./connection.ts";
import {
  drainMs,
  keyMark,
  type LoadJob,
  type LoadResult,
  type Percentiles,
  type Rest,
  stampsIn,
  Template,
  type WatchJob,
} from "./job.ts";
import { LineSplitter, MessageSplitter } from "./messages.ts";
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
  connection: LoadConnection;
  stream: Http2Stream | undefined;
  waiting: Request[];
}

class Generator {
  readonly #job: LoadJob;
  readonly #clock: Clock;
  readonly #rand: Rand;
  readonly #templates: Template[];
  readonly #lanes: Lane[] = [];
  readonly #watchConnections: LoadConnection[] = [];
  readonly #latency = createHistogram();
  readonly #lateness = createHistogram();
  readonly #eventLatency = createHistogram();
  readonly #errors: Record<string, number> = {};
  readonly #pending = new Set<Request>();
  #schedule: Schedule | undefined;
  #turn = 0;
  #began = 0;
  #from = 0;
  #until = 0;
  #inWindow = 0;
  #answered = 0;
  #events = 0;
  #eventsInWindow = 0;
  #settled: () => void = () => {};

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
    }
    await sleep(this.#clock, this.#until - this.#clock.monotonic());
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
    for (const one of [...this.#lanes.map(({ connection }) => connection), ...this.#watchConnections]) one.close();
  }

  answered(request: Request, status: number, message: string, bytes: number): void {
    const now = this.#clock.monotonic();
    this.#pending.delete(request);
    if (status !== 0) this.#error(`${status === connectionLost || this.#job.rest ? "" : `gRPC ${status}: `}${message}`);
    else if (bytes < (this.#job.minReplyBytes ?? 0)) this.#error(`an answer of ${bytes} bytes`);
    else {
      this.#answered++;
      if (now >= this.#from && now < this.#until) this.#inWindow++;
      if (request.intended >= this.#from && request.intended < this.#until)
        record(this.#latency, now - request.intended);
    }
    if (now >= this.#until) this.#checkSettled();
    else if (this.#schedule !== undefined) this.#sendDue(now);
    else if (status !== connectionLost) this.#send(request.lane, now);
  }

  #send(lane: number, intended: number): void {
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
      if (schedule.next >= this.#from) record(this.#lateness, now - schedule.next);
      this.#send(lane++ % this.#lanes.length, schedule.next);
    }
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
    const { watch, rest } = this.#job;
    for (let i = 0; watch !== undefined && i < watch.streams; i++) {
      const connection = await connect(watch.targets[i % watch.targets.length]!, rest && { ...rest, method: "GET" });
      this.#watchConnections.push(connection);
      const calls = Array.from({ length: rest ? watch.watchersPerStream : 1 }, () =>
        this.#watchCall(connection, watch),
      );
      await Promise.all(calls);
    }
  }

  /** Over gRPC a call for all watchers, each confirmed by a message; over REST for one, confirmed by its headers. */
  #watchCall(connection: LoadConnection, { path, watchersPerStream, create }: WatchJob): Promise<void> {
    const { rest } = this.#job;
    return new Promise((resolve, reject) => {
      let messages = 0;
      const splitter = rest ? new LineSplitter() : new MessageSplitter();
      const onMessage = (message: Buffer) => {
        if (++messages === watchersPerStream) resolve();
        stampsIn(message, (us) => this.#event(us));
      };
      const onEnd = (status: number, message: string) => {
        reject(new Error(`watch ended: ${status} ${message}`));
        this.#error(`watch ended: ${status} ${message}`);
      };
      const onData = (payload: Buffer) => splitter.push(payload, onMessage);
      if (rest) return connection.unary(path, Buffer.alloc(0), { onHeaders: resolve, onData, onEnd });
      const stream = connection.open(path, { onData, onEnd });
      for (let n = 0; n < watchersPerStream; n++) connection.message(stream, Buffer.from(create, "base64"));
    });
  }

  #event(us: number): void {
    const now = this.#clock.monotonic();
    const intended = this.#began + us / 1000;
    this.#events++;
    if (now >= this.#from && now < this.#until) this.#eventsInWindow++;
    if (intended >= this.#from && intended < this.#until) record(this.#eventLatency, now - intended);
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
      if (intended >= this.#from && intended < this.#until) record(this.#latency, now - intended);
    const seconds = this.#job.measureMs / 1000;
    const result: LoadResult = {
      perSecond: this.#inWindow / seconds,
      answered: this.#answered,
      unanswered: this.#pending.size,
      errors: { ...this.#errors }, // of now: closing ends the watches, too
      latency: percentiles(this.#latency),
      lateness: percentiles(this.#lateness),
      cores,
    };
    if (this.#job.watch === undefined) return result;
    const events = {
      perSecond: this.#eventsInWindow / seconds,
      missing: Math.max(0, this.#missingEvents),
      latency: percentiles(this.#eventLatency),
    };
    return { ...result, events };
  }
}

/** In µs, of three digits. */
function record(histogram: RecordableHistogram, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * 1000)));
}

function percentiles(histogram: RecordableHistogram): Percentiles {
  const at = (percent: number) => (histogram.count === 0 ? Number.NaN : histogram.percentile(percent) / 1000);
  return { count: histogram.count, p50: at(50), p99: at(99), "p99.9": at(99.9) };
}

function connect(target: string, rest?: Rest): Promise<LoadConnection> {
  const [host, port] = target.split(":");
  assert(host !== undefined && port !== undefined, `"${target}" is not host:port`);
  return LoadConnection.connect(host, Number(port), rest);
}
