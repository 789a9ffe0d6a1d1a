/**
 * The requests about off-site copies: a call of an export, a look at the copies of a destination, and
 * the probe of its bucket. handler.ts loads this file only for them, so that the nightly run does
 * not start later because of it.
 */

import { type Clean, createCleaner } from "./clean.ts";
import { type CheckWork, runCheck } from "./offsite_check.ts";
import { probeTarget } from "./offsite_probe.ts";
import type { Checks } from "./probe.ts";
import { isRecord } from "./config.ts";
import { runExport, type Target, type Work } from "./export.ts";
import { Ledger, LedgerProblem } from "./ledger.ts";
import type { Limits, Sleep } from "./log.ts";
import type { Sockets } from "./postgres.ts";
import type { OffsiteProbeRequest, OffsiteRequest } from "./request.ts";
import { S3 } from "./s3.ts";
import type { Fetch, Timer } from "./supabase.ts";
import type { Env } from "./token.ts";

/** What these requests need. */
export interface OffsiteContext {
  readonly env: Env;
  readonly fetch: Fetch;
  readonly sockets: Sockets;
  readonly now: () => Date;
  readonly sleep: Sleep;
  readonly timer: Timer;
  readonly limits: Limits;
  /** Values to remove from every text. */
  readonly secrets: readonly string[];
  readonly log: (line: string) => void;
}

/** The response to a request, and the work that goes on after it. */
export interface Reply {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly work?: Promise<void>;
}

/** Claims the work of a request, begins it, and responds. What it cannot begin, the reply says. */
export async function handleOffsite(
  request: OffsiteRequest | OffsiteProbeRequest,
  context: OffsiteContext,
): Promise<Reply> {
  const { runId } = request;
  const clean = createCleaner([...context.secrets, ...databasePasswords(context.env)]);
  let ledger: Ledger;
  try {
    ledger = await Ledger.open({ ...context, clean });
  } catch (error) {
    return failed(runId, error, clean);
  }
  try {
    if (request.action === "offsite_probe") {
      const reply = await probe(request, context, ledger);
      await ledger.close();
      return reply;
    }
    const claim = request.action === "export" ? "export_claim" : "check_claim";
    const claimed = await ledger.call(claim, request.id, runId);
    if (!isRecord(claimed) || typeof claimed.skip === "string") {
      await ledger.close();
      const message = isRecord(claimed) ? String(claimed.skip) : "there is no such work";
      return {
        status: 409,
        body: { success: false, code: "duplicate", message, run_id: runId },
      };
    }
    const target = claimed as unknown as Target;
    const missing = missingSecret(target, context.env);
    if (missing !== null) {
      const failed = request.action === "export" ? "export_failed" : "check_failed";
      const problem = { code: UNKNOWN, message: missing, retry: false };
      await ledger.call(failed, request.id, runId, problem);
      throw new LedgerProblem(UNKNOWN, missing, undefined);
    }
    const opened = open(target, context);
    const common = { ledger, worker: runId, now: context.now, log: context.log, ...opened };
    const work = request.action === "export"
      ? runExport(claimed as unknown as Work, common)
      : runCheck(claimed as unknown as CheckWork, common);
    return {
      status: 202,
      body: { success: null, state: "running", run_id: runId },
      work: work.finally(() => ledger.close()),
    };
  } catch (error) {
    await ledger.close();
    return failed(runId, error, clean);
  }
}

async function probe(
  { runId, backup, destination }: OffsiteProbeRequest,
  context: OffsiteContext,
  ledger: Ledger,
): Promise<Reply> {
  const target = await ledger.target(backup, destination);
  if (target === null) {
    const message = `the settings have no destination ${destination}`;
    return {
      status: 400,
      body: { success: false, code: "bad_request", message, run_id: runId },
    };
  }
  const missing = missingSecret(target, context.env);
  const checks: Checks = {
    database: { ok: true },
    ...missing === null
      ? await probeTarget(target, { ...open(target, context), now: context.now })
      : { put: { ok: false, code: UNKNOWN, error: missing } },
  };
  const failing = Object.entries(checks).filter(([, { ok }]) => !ok).map(([name]) => name);
  const result = { run_id: runId, destination, checks };
  return failing.length === 0 ? { status: 200, body: { success: true, ...result } } : {
    status: 500,
    body: {
      success: false,
      code: "probe_failed",
      message: `failed: ${failing.join(", ")}`,
      ...result,
    },
  };
}

/** The code of credentials that nobody knows. */
const UNKNOWN = "offsite_key_unknown";

/** Says which of the bucket's credentials the function does not have, if any. */
function missingSecret({ secrets }: Target, env: Env): string | null {
  const name = [secrets.access_key_id, secrets.secret_access_key].find((name) => !env(name));
  return name === undefined ? null : `the function's secret ${name} is not set`;
}

/** The bucket of a destination, with what removes its credentials from texts. */
function open(target: Target, context: OffsiteContext): { s3: S3; clean: Clean } {
  const { env, fetch, now, sleep, timer, limits } = context;
  const { access_key_id, secret_access_key } = target.secrets;
  const accessKeyId = env(access_key_id) ?? "";
  const secretAccessKey = env(secret_access_key) ?? "";
  const known = [...context.secrets, ...databasePasswords(env), accessKeyId, secretAccessKey];
  const clean = createCleaner(known);
  const { endpoint, region, bucket } = target;
  const s3 = new S3(
    { endpoint, region, bucket, accessKeyId, secretAccessKey },
    { fetch, now, sleep, timer, timeoutMs: limits.store_timeout_ms },
  );
  return { s3, clean };
}

/** The password of the database, as the URL has it and as it is. */
function databasePasswords(env: Env): string[] {
  const password = /^[^:]*:\/\/[^:@/]*:([^@/]*)@/.exec(env("SUPABASE_DB_URL") ?? "")?.[1] ?? "";
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}

function failed(runId: string, error: unknown, clean: Clean): Reply {
  const code = error instanceof LedgerProblem ? error.code : "offsite_internal";
  const sqlstate = error instanceof LedgerProblem ? error.sqlstate : undefined;
  return {
    status: 503,
    body: {
      success: false,
      code,
      ...(sqlstate === undefined ? {} : { sqlstate }),
      error: clean(error),
      run_id: runId,
    },
  };
}
