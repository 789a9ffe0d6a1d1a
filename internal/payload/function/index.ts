/** Entry point of the Edge Function: connects the handler to the platform. */

import config from "./config.json" with { type: "json" };
import { createHandler } from "./handler.ts";
import { sockets } from "./sockets.ts";
import tokens from "./tokens.json" with { type: "json" };

/** The part of Supabase's global object that is used. Other runtimes do not have it. */
interface EdgeRuntime {
  waitUntil(work: Promise<unknown>): void;
}

const { EdgeRuntime: runtime } = globalThis as { EdgeRuntime?: EdgeRuntime };

function waitUntil(work: Promise<unknown>): void {
  runtime?.waitUntil(work);
}

const handler = createHandler({
  config,
  tokens,
  env: (name) => Deno.env.get(name),
  fetch: (url, init) => fetch(url, init),
  sockets,
  now: () => new Date(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  timer: (ms, callback) => {
    const id = setTimeout(callback, ms);
    return () => clearTimeout(id);
  },
  waitUntil,
  // deno-lint-ignore no-console -- the platform collects the function's log from here
  log: (line) => console.error(`auto-backup: ${line}`),
});

// The event's detail says why Supabase stops an instance.
addEventListener("beforeunload", (event) => {
  const { detail } = event as { detail?: { reason?: unknown } };
  const reason = typeof detail?.reason === "string" ? detail.reason : "termination";
  waitUntil(handler.interrupt(reason));
});

Deno.serve((request) => handler.handle(request));
