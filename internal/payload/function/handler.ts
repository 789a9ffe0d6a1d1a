/** The function's HTTP interface: authorization, requests and responses. */

import { createCleaner } from "./clean.ts";
import { parseConfig } from "./config.ts";
import contract from "./contract.json" with { type: "json" };
import type { Limits, Sleep } from "./log.ts";
import { signOutcome } from "./outcome.ts";
import type { OffsiteContext } from "./offsite.ts";
import type { Sockets } from "./postgres.ts";
import { probe } from "./probe.ts";
import {
  type BackupRequest,
  type OffsiteProbeRequest,
  type OffsiteRequest,
  readBody,
  readRequest,
} from "./request.ts";
import { type Result, Run, type RunContext } from "./run.ts";
import { type Fetch, readProject, Supabase, type Timer } from "./supabase.ts";
import { type Code, reasons } from "./texts.ts";
import {
  acceptedTokens,
  createSigner,
  type Env,
  isSignature,
  matchSignature,
  type Sign,
} from "./token.ts";

/** What the function needs from the platform. */
export interface Dependencies {
  /** The content of config.json. */
  readonly config: unknown;
  /** The content of tokens.json: accepted tokens, by the names of their secrets. */
  readonly tokens?: unknown;
  readonly env: Env;
  readonly fetch: Fetch;
  /** Connects to the database. */
  readonly sockets: Sockets;
  readonly now: () => Date;
  readonly sleep: Sleep;
  /** Aborts calls that take too long. */
  readonly timer: Timer;
  /** Keeps the instance alive until the work is done, even after the response. */
  readonly waitUntil: (work: Promise<unknown>) => void;
  /** Writes one line to the function's own log. */
  readonly log: (line: string) => void;
  /** Replaces values of contract.json's limits. */
  readonly limits?: Partial<Limits>;
}

/** The function. */
export interface Handler {
  /** Handles one request. It never rejects. */
  handle(request: Request): Promise<Response>;
  /** Makes every run in progress log that the platform is about to stop the function. */
  interrupt(reason: string): Promise<void>;
}

type RefusalCode = keyof typeof contract.refusals;

/** Creates the function. */
export function createHandler(deps: Dependencies): Handler {
  const config = parseConfig(deps.config);
  const limits: Limits = { ...contract.limits, ...deps.limits };
  const active = new Set<Run>();
  if (typeof config === "string") deps.log(`bad configuration: ${config}`);

  async function handle(request: Request): Promise<Response> {
    if (typeof config === "string") return refuse("bad_config", config);
    if (request.method !== "POST") {
      return refuse("method_not_allowed", "send a POST", {}, { Allow: "POST" });
    }
    const tokens = acceptedTokens(deps.env, config.tokenSecret, deps.tokens);
    if (tokens.length === 0) {
      return refuse("token_not_configured", `the secret ${config.tokenSecret} is not set`);
    }
    const unsigned = `the header ${contract.signature_header} is missing or wrong`;
    const signature = request.headers.get(contract.signature_header);
    if (!isSignature(signature)) return refuse("unauthorized", unsigned);
    const body = await readBody(request, deps.timer, limits);
    if ("code" in body) return refuse(body.code, body.message);
    const token = await matchSignature(signature, body, tokens);
    if (token === null) return refuse("unauthorized", unsigned);
    const sign = createSigner(token);
    const contentType = request.headers.get("content-type");
    const read = readRequest(contentType, body, deps.now(), limits);
    if ("code" in read) return refuse(read.code, read.message);
    if (read.backup !== null && read.backup !== config.backup) {
      return refuse("wrong_backup", `this function runs the backup ${config.backup}`);
    }

    if (read.action !== "backup" && read.action !== "probe") {
      const secrets = [...tokens.map(({ value }) => value), ...keysOf(deps.env)];
      return await runOffsite(read, { ...deps, limits, secrets }, sign);
    }
    const project = readProject(deps.env);
    if (typeof project === "string") {
      deps.log(`cannot work: ${project}`);
      if (read.action === "backup") {
        const failure = internal(project, read.runId);
        return respond(500, await signOutcome(sign, contract.log_types.failure, failure));
      }
      const checks = {
        token: { ok: true, secret: token.secret },
        key: { ok: false, error: project },
      };
      return refuse("probe_failed", project, { run_id: read.runId, checks });
    }
    const clean = createCleaner([...tokens.map(({ value }) => value), ...keysOf(deps.env)]);
    const supabase = new Supabase(project, deps.fetch, deps.timer, clean);
    if (read.action === "backup") {
      const { now, sleep, log } = deps;
      return await runBackup(read, { config, supabase, clean, sign, limits, now, sleep, log });
    }

    const checks = {
      token: { ok: true, secret: token.secret },
      ...await probe(config, project, supabase, limits),
    };
    const result = { run_id: read.runId, checks };
    const failing = Object.entries(checks).filter(([, check]) => !check.ok).map(([name]) => name);
    if (failing.length > 0) return refuse("probe_failed", `failed: ${failing.join(", ")}`, result);
    return respond(200, await signOutcome(sign, "probe", { success: true, ...result }));
  }

  async function runOffsite(
    request: OffsiteRequest | OffsiteProbeRequest,
    context: OffsiteContext,
    sign: Sign,
  ): Promise<Response> {
    const { handleOffsite } = await import("./offsite.ts");
    const { status, body, work } = await handleOffsite(request, context);
    if (work !== undefined) deps.waitUntil(work);
    return respond(status, await signOutcome(sign, request.action, body));
  }

  async function runBackup(request: BackupRequest, context: RunContext): Promise<Response> {
    const run = new Run(request, context);
    active.add(run);
    const claim = run.claim();
    const work = claim.then((claimed): Promise<Result> | null => {
      if (claimed === "duplicate") return null;
      return claimed === "claimed" ? run.execute() : run.abandon(claimed);
    }).finally(() => active.delete(run));
    // Nothing else handles errors of a request that does not wait.
    deps.waitUntil(
      work.catch((error) => deps.log(`run ${request.runId}: ${context.clean(error)}`)),
    );

    if (await claim === "claimed" && !request.wait) {
      return respond(202, { success: null, state: "running", run_id: request.runId });
    }
    const result = await work;
    if (result === null) {
      const message = "another delivery of this request has claimed the run";
      return refuse("duplicate", message, { run_id: request.runId });
    }
    return respond(result.success ? 200 : 500, { ...result });
  }

  return {
    async handle(request) {
      try {
        return await handle(request);
      } catch (error) {
        const text = createCleaner([])(error);
        deps.log(`internal error: ${text}`);
        return respond(500, internal(text, null));
      }
    },
    async interrupt(reason) {
      await Promise.all([...active].map((run) => run.interrupt(reason)));
    },
  };
}

/** The keys of the project that are in the environment. */
function keysOf(env: Env): string[] {
  const project = readProject(env);
  if (typeof project === "string") return [];
  return [project.key, project.jwt, project.otherKey].filter((key) => key !== null);
}

function internal(error: string, runId: string | null): Record<string, unknown> {
  return {
    success: false,
    code: "internal" satisfies Code,
    message: error,
    error: reasons.internal(error),
    ...(runId === null ? {} : { run_id: runId }),
  };
}

function refuse(
  code: RefusalCode,
  message: string,
  more: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Response {
  const body = { success: false, code, message, ...more };
  return respond(contract.refusals[code], body, headers);
}

function respond(
  status: number,
  body: Record<string, unknown>,
  headers: Record<string, string> = {},
): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      "Content-Type": "application/json",
      "Cache-Control": "no-store",
      [contract.version_header]: contract.function_version,
      ...headers,
    },
  });
}
