/**
 * The probe of a destination: stores a small object as a copy would, reads what may be read, and
 * tries to delete it, which must be refused if the destination has a lock. Its texts are English,
 * because Terraform shows them.
 */

import type { Clean } from "./clean.ts";
import type { Target } from "./export.ts";
import type { Check, Checks } from "./probe.ts";
import { isS3Problem, type S3, type S3Problem } from "./s3.ts";

/** A destination, with what the keys of all its objects begin with. */
export interface ProbeTarget extends Target {
  readonly path: string;
}

/** What a probe needs. */
export interface ProbeContext {
  readonly s3: S3;
  readonly clean: Clean;
  readonly now: () => Date;
}

/** How long the object of a probe is locked. It is enough for the attempt to delete it. */
const LOCK_MS = 120_000;

/** Probes a destination. */
export async function probeTarget(target: ProbeTarget, context: ProbeContext): Promise<Checks> {
  const { s3, now } = context;
  const key = `${target.path}probe/${crypto.randomUUID()}.txt`;
  const body = new TextEncoder().encode(
    "A probe of the off-site copies of this project. It can be deleted.\n",
  );
  // S3 keeps whole seconds.
  const until = new Date(Math.ceil((now().getTime() + LOCK_MS) / 1000) * 1000);
  const lock = target.lock === null ? null : { mode: target.lock.mode, until };
  const stored = await s3.put(key, body, { contentType: "text/plain; charset=utf-8", lock });
  if (isS3Problem(stored)) return { put: failed(stored) };
  const checks: Record<string, Check> = { put: { ok: true, key } };

  const expected = { size: stored.size, sha256: stored.sha256 };
  const found = target.verify === "read"
    ? await s3.verifyContent(key, expected)
    : await s3.verify(key, expected);
  const readable = !isS3Problem(found);
  if (readable) {
    checks.read = { ok: true };
    if (lock !== null) {
      checks.lock = found.lock === null
        ? {
          ok: false,
          code: "offsite_lock_missing",
          error: "the object was stored without the lock",
        }
        : { ok: true, mode: found.lock.mode };
    }
  } else {
    checks.read = target.verify === "write" && found.code === "offsite_denied"
      ? { ok: true, warning: "the credentials cannot read objects, so copies are never looked at" }
      : failed(found);
  }

  const versionId = stored.versionId ?? (readable ? found.versionId : null);
  const deleted = await s3.delete(key, versionId);
  if (deleted !== null) {
    const refused = deleted.code === "offsite_denied" || deleted.code === "offsite_locked";
    checks.delete_refused = refused ? { ok: true } : failed(deleted);
  } else if (lock !== null && versionId !== null) {
    checks.delete_refused = {
      ok: false,
      code: "offsite_deletable",
      error: "the function's own credentials could delete a locked object",
    };
  } else {
    checks.delete_refused = {
      ok: true,
      code: "offsite_deletable",
      warning: "the function's credentials can delete copies",
    };
  }
  return checks;
}

function failed({ code, message, status }: S3Problem): Check {
  return {
    ok: false,
    code,
    error: message,
    ...(status === undefined ? {} : { http_status: status }),
  };
}
