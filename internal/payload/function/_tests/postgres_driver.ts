/**
 * Runs postgres.ts for the Go tests: reads commands from the standard input, one JSON object a line,
 * and writes what came of each to the standard output.
 */

import { createHash } from "node:crypto";
import { Postgres, PostgresProblem, type Sockets } from "../postgres.ts";
import { sockets } from "../sockets.ts";

interface Command {
  readonly open?: string;
  readonly settings?: Record<string, string>;
  /** A certificate in PEM that is trusted, too. */
  readonly root?: string;
  /** The host that is connected to in place of that of the URL. */
  readonly host?: string;
  readonly largest?: number;
  readonly query?: string;
  readonly stream?: string;
  /** Whether to say what the stream took of the processor and the memory. Linux only. */
  readonly measure?: boolean;
  readonly parameters?: (string | null)[];
  readonly timeout_ms?: number;
  readonly close?: boolean;
}

function print(value: unknown): void {
  // deno-lint-ignore no-console -- the Go test reads it
  console.log(JSON.stringify(value));
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function network({ root, host }: Command): Sockets {
  return {
    async connect(hostname, port) {
      const socket = await sockets.connect(host ?? hostname, port);
      const startTls = (name: string, roots: string[]) =>
        socket.startTls(name, root === undefined ? roots : [...roots, root]);
      return { ...socket, startTls };
    },
  };
}

/** The time that this thread has had of a processor, in milliseconds. */
function processorTime(): number {
  const [nanoseconds] = Deno.readTextFileSync(`/proc/self/task/${Deno.pid}/schedstat`).split(" ");
  return Number(nanoseconds) / 1e6;
}

/** The memory of the program's values, in bytes. */
function memory(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** Streams rows and drops them. Returns what that took. */
async function measure(session: Postgres, sql: string): Promise<unknown> {
  const before = memory();
  let most = before;
  let bytes = 0;
  let rows = 0;
  const begin = processorTime();
  const streamed = await session.stream(sql, [], 60_000, (row) => {
    bytes += row.length;
    if (rows++ % 100 === 0) most = Math.max(most, memory());
  });
  if (streamed instanceof PostgresProblem) return streamed;
  return { count: streamed, bytes, cpu_ms: processorTime() - begin, memory: most - before };
}

let session: Postgres | null = null;

async function run(command: Command): Promise<unknown> {
  const { open, query, stream, parameters = [], timeout_ms: timeoutMs = 60_000 } = command;
  if (open !== undefined) {
    const opened = await Postgres.open(open, {
      sockets: network(command),
      timer: (ms, callback) => {
        const id = setTimeout(callback, ms);
        return () => clearTimeout(id);
      },
      timeoutMs,
      applicationName: "auto-backup export",
      ...command.settings === undefined ? {} : { settings: command.settings },
      ...command.largest === undefined ? {} : { largest: command.largest },
    });
    if (opened instanceof PostgresProblem) return opened;
    session = opened;
    return {};
  }
  if (session === null) throw new Error("there is no session");
  if (query !== undefined) return await session.query(query, parameters, timeoutMs);
  if (stream !== undefined && command.measure === true) return await measure(session, stream);
  if (stream !== undefined) {
    const hash = createHash("sha256");
    let bytes = 0;
    let first: string | null = null;
    const streamed = await session.stream(stream, parameters, timeoutMs, (row) => {
      if (first === null) {
        first = decoder.decode(row.subarray(0, 100));
        print({ first });
      }
      bytes += row.length;
      hash.update(row).update("\n");
    });
    return streamed instanceof PostgresProblem
      ? streamed
      : { count: streamed, bytes, sha256: hash.digest("hex") };
  }
  await session.close();
  return {};
}

let rest = "";
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) {
    const result = await run(JSON.parse(line));
    if (result instanceof PostgresProblem) {
      const { code, message, sqlstate = "" } = result;
      print({ code, message, sqlstate });
    } else print(result);
  }
}
