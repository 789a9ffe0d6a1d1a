/**
 * A look at the copies of a destination: whether every object of the last weeks is there, unchanged
 * and locked. The database knows the objects, and decides what the results mean.
 */

import type { Clean } from "./clean.ts";
import type { Target } from "./export.ts";
import { type LedgerCalls, LedgerProblem } from "./ledger.ts";
import { isS3Problem, type S3 } from "./s3.ts";

/** What check_claim returns. */
export interface CheckWork extends Target {
  readonly check: number;
  /** How long a call begins new batches, in milliseconds. */
  readonly call_ms: number;
}

/** An object that the ledger knows. */
interface KnownObject {
  readonly object_id: number;
  readonly key: string;
  readonly bytes: number;
  readonly sha256: string;
  /** When its lock ends, in RFC 3339, or null if it was stored without one. */
  readonly locked_until: string | null;
}

/** What a check needs. */
export interface CheckContext {
  readonly ledger: LedgerCalls;
  readonly s3: S3;
  readonly worker: string;
  readonly clean: Clean;
  readonly now: () => Date;
  readonly log: (line: string) => void;
}

/** How many objects are looked at at the same time. */
const AT_ONCE = 8;

/** A failure that concerns the whole destination, such as credentials that are refused. */
class Failure extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

/** Does the work of one call. It never rejects: what fails is recorded in the ledger. */
export async function runCheck(work: CheckWork, context: CheckContext): Promise<void> {
  const { ledger, worker, now, clean, log } = context;
  const until = now().getTime() + work.call_ms;
  const name = `check ${work.check} of ${work.destination}`;
  try {
    for (;;) {
      const objects = await ledger.call("check_next", work.check, worker) as KnownObject[];
      if (objects.length === 0) {
        await ledger.call("check_finish", work.check, worker);
        log(`${name}: complete`);
        return;
      }
      const results: { object_id: number; code: string | null }[] = [];
      for (let i = 0; i < objects.length; i += AT_ONCE) {
        const some = objects.slice(i, i + AT_ONCE);
        results.push(...await Promise.all(some.map((object) => look(object, context))));
      }
      await ledger.call("check_result", work.check, worker, { results });
      if (now().getTime() >= until) {
        await ledger.call("check_yield", work.check, worker);
        return;
      }
    }
  } catch (error) {
    const code = error instanceof Failure || error instanceof LedgerProblem
      ? error.code
      : "offsite_internal";
    const message = clean(error);
    log(`${name}: ${code}: ${message}`);
    await ledger.call("check_failed", work.check, worker, { code, message }).catch((lost) =>
      log(`${name}: this could not be recorded: ${clean(lost)}`)
    );
  }
}

async function look(
  { object_id, key, bytes, sha256, locked_until }: KnownObject,
  { s3, now }: CheckContext,
): Promise<{ object_id: number; code: string | null }> {
  const head = await s3.head(key);
  if (isS3Problem(head)) {
    if (head.code === "offsite_not_found") return { object_id, code: "offsite_object_missing" };
    throw new Failure(head.code, head.message);
  }
  if (head.size !== bytes || (head.sha256 !== null && head.sha256 !== sha256)) {
    return { object_id, code: "offsite_object_changed" };
  }
  const locked = locked_until === null ? null : Date.parse(locked_until);
  // S3 keeps whole seconds.
  const unlocked = locked !== null && locked > now().getTime() &&
    (head.lock === null || head.lock.until.getTime() < locked - 1000);
  return { object_id, code: unlocked ? "offsite_object_unlocked" : null };
}
