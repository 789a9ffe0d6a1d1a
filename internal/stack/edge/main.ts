// The stand-in for the parts of Supabase's edge runtime that a function can see.
// The gateway starts one process of it for each function, communicates with it by
// lines of JSON on stdin and stdout, and passes requests on by HTTP on a loopback
// port.
//
// stdin:  {"entrypoint": "file:///…"}                 first line
//         {"command": "beforeunload", "reason": "…"}  dispatch the event
//         {"command": "drain", "reason": "…"}         end when nothing is left to do
// stdout: {"event": "listening", "port": n}, then {"event": "booted"} or
//         {"event": "boot_error"}. The function's own output goes to stderr.
//
// It leaves out: limits of CPU time (memory is limited by a flag of the
// process, time by the gateway), Supabase.ai, and the older serve() of Deno's
// standard library.

type Handler = (request: Request, info?: unknown) => Response | Promise<Response>;

interface Started {
  entrypoint: string;
}

interface Command {
  command: "beforeunload" | "drain";
  reason: string;
}

const encoder = new TextEncoder();
const stdout = Deno.stdout;
const exit = Deno.exit.bind(Deno);
const listen = Deno.serve.bind(Deno);
const fail = console.error.bind(console);

/** Tells the gateway something. */
function report(event: Record<string, unknown>): void {
  stdout.writeSync(encoder.encode(JSON.stringify(event) + "\n"));
}

// Everything that a function prints is its log, which is stderr.
console.log =
  console.info =
  console.debug =
  console.warn =
    fail;

// Work that goes on after the response.
const background = new Set<Promise<unknown>>();
let requests = 0;
let settled: () => void = () => {};

Object.defineProperty(globalThis, "EdgeRuntime", {
  value: Object.freeze({
    waitUntil<T>(promise: Promise<T>): Promise<T> {
      const watched: Promise<unknown> = Promise.resolve(promise)
        .catch((error) => fail("background task failed:", error))
        .finally(() => {
          background.delete(watched);
          settled();
        });
      background.add(watched);
      return promise;
    },
  }),
});

let unloaded = false;

function unload(reason: string): void {
  if (unloaded) return;
  unloaded = true;
  globalThis.dispatchEvent(new CustomEvent("beforeunload", { detail: { reason } }));
}

/** Resolves when no request and no background task is left. */
async function idle(): Promise<void> {
  while (requests > 0 || background.size > 0) {
    await new Promise<void>((resolve) => settled = resolve);
  }
}

async function drain(reason: string): Promise<void> {
  await idle();
  unload(reason);
  await idle(); // what the event's listeners began
  exit(0);
}

// A function registers its handler by Deno.serve, or exports it.
let handler: Handler | undefined;
Object.defineProperty(Deno, "serve", {
  configurable: true,
  value: (first: unknown, second?: unknown) => {
    const options = first as { handler?: Handler };
    const given = [first, second, options?.handler].find((it) => typeof it === "function");
    if (given === undefined) throw new TypeError("Deno.serve: no handler was given");
    handler = given as Handler;
    return {
      finished: new Promise<void>(() => {}),
      addr: { transport: "tcp", hostname: "0.0.0.0", port: 9999 },
      ref() {},
      unref() {},
      shutdown: () => Promise.resolve(),
    };
  },
});

/** The lines of stdin. The gateway is gone when they end, and so is this process. */
async function* lines(): AsyncGenerator<string> {
  let rest = "";
  for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}

async function obey(commands: AsyncGenerator<string>): Promise<void> {
  for await (const line of commands) {
    const { command, reason } = JSON.parse(line) as Command;
    if (command === "beforeunload") unload(reason);
    else void drain(reason);
  }
  exit(0);
}

async function answer(request: Request, info: unknown): Promise<Response> {
  requests++;
  try {
    const response = await handler!(request, info);
    if (!(response instanceof Response)) {
      throw new TypeError("the handler did not return a Response");
    }
    return response;
  } catch (error) {
    fail(error);
    return new Response("Internal Server Error", { status: 500 });
  } finally {
    requests--;
    settled();
  }
}

const input = lines();
const started = JSON.parse((await input.next()).value as string) as Started;
void obey(input);

listen({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => report({ event: "listening", port }),
}, answer);

try {
  const module = await import(started.entrypoint);
  const exported = module.default;
  if (handler === undefined && typeof exported?.fetch === "function") {
    handler = exported.fetch.bind(exported) as Handler;
  }
  if (handler === undefined) {
    throw new Error("the function neither calls Deno.serve nor exports default { fetch }");
  }
  report({ event: "booted" });
} catch (error) {
  fail("worker boot error:", error);
  report({ event: "boot_error" });
  exit(1);
}
