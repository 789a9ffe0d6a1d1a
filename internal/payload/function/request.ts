/** The requests that the function accepts, and their strict validation. */

import { isInteger, isRecord } from "./config.ts";
import contract from "./contract.json" with { type: "json" };
import type { Limits } from "./log.ts";
import type { Timer } from "./supabase.ts";
import type { Bytes } from "./token.ts";

/** One run of the backup, requested by the dispatcher. */
export interface BackupRequest {
  readonly action: "backup";
  /** ID of the run and of its row in backup_logs, a lower-case UUID. */
  readonly runId: string;
  readonly backup: string;
  /** Key of the schedule that was due. */
  readonly schedule: string;
  /** When the run was due, in RFC 3339 as the caller wrote it. */
  readonly dueAt: string;
  /** When the database signed the request, by its clock, in RFC 3339. */
  readonly sentAt: string;
  /** 1 for the first attempt at this due time. */
  readonly attempt: number;
  /** False if the caller sends the alert itself. */
  readonly alert: boolean;
  /** Whether the response waits for the result of the backup. */
  readonly wait: boolean;
}

/** A probe, which writes nothing and makes no backup. */
export interface ProbeRequest {
  readonly action: "probe";
  readonly runId: string | null;
  readonly backup: string | null;
}

/** One call of an off-site copy, or of the look at the copies of a destination. */
export interface OffsiteRequest {
  readonly action: "export" | "offsite_check";
  /** ID of the call, a lower-case UUID. */
  readonly runId: string;
  readonly backup: string;
  /** ID of the export, or of the check, in the database. */
  readonly id: number;
}

/** A probe of a destination's bucket, which stores a small object there. */
export interface OffsiteProbeRequest {
  readonly action: "offsite_probe";
  readonly runId: string;
  readonly backup: string;
  readonly destination: string;
}

/** A valid request. */
export type ValidRequest = BackupRequest | ProbeRequest | OffsiteRequest | OffsiteProbeRequest;

/** Why a request is refused. */
export interface Refusal {
  readonly code: keyof typeof contract.refusals;
  readonly message: string;
}

interface Field {
  type: string;
  required: boolean;
  pattern?: string;
  minimum?: number;
  maximum?: number;
}

const FIELDS = new Map<string, Field>(Object.entries(contract.request_fields));

/** The fields that requests other than for a backup need. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  probe: ["sent_at"],
  export: ["sent_at", "run_id", "backup", "export"],
  offsite_check: ["sent_at", "run_id", "backup", "export"],
  offsite_probe: ["sent_at", "run_id", "backup", "destination"],
};

/**
 * Reads the body of a request. Anybody can send one, and only the body tells whether it is signed, so
 * its size and its time are limited.
 */
export async function readBody(
  request: Request,
  timer: Timer,
  limits: Limits,
): Promise<Bytes | Refusal> {
  const { request_bytes: size, request_timeout_ms: ms } = limits;
  const late = new AbortController();
  const stop = timer(ms, () => late.abort());
  const bytes = await readBytes(request.body, size, late.signal).finally(stop);
  if (late.signal.aborted) {
    return refuse("bad_request", `the body did not arrive within ${ms / 1000} s`);
  }
  return bytes ?? refuse("request_too_large", `the body is larger than ${size} bytes`);
}

/** Validates a request whose signature is right. */
export function readRequest(
  contentType: string | null,
  bytes: Uint8Array,
  now: Date,
  limits: Limits,
): ValidRequest | Refusal {
  if (!/^application\/json\s*(;|$)/i.test(contentType ?? "")) {
    return refuse("bad_request", "Content-Type must be application/json");
  }
  if (bytes.length === 0) return refuse("bad_request", "the body is empty");
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return refuse("bad_request", "the body is not valid JSON");
  }
  if (!isRecord(body)) return refuse("bad_request", "the body is not a JSON object");

  const needed = typeof body.action === "string" ? NEEDED[body.action] : undefined;
  if (Object.keys(body).some((name) => !FIELDS.has(name))) {
    return refuse("bad_request", `only these fields are known: ${[...FIELDS.keys()].join(", ")}`);
  }
  for (const [name, field] of FIELDS) {
    const value = body[name];
    if (value === undefined) {
      if (needed?.includes(name) ?? field.required) {
        return refuse("bad_request", `${name} is missing`);
      }
    } else if (!fits(value, field)) {
      return refuse("bad_request", `${name} is not valid`);
    }
  }
  for (const name of ["due_at", "sent_at"]) {
    const value = body[name];
    if (typeof value === "string" && !isInstant(value)) {
      return refuse("bad_request", `${name} is not a real date and time`);
    }
  }
  // A request that somebody has read in pg_net's queue is useless soon, and one that names the
  // future is not useful for longer.
  const age = now.getTime() - Date.parse(body.sent_at as string);
  if (Math.abs(age) > limits.request_age_ms) {
    const limit = limits.request_age_ms / 60_000;
    const when = `${Math.round(Math.abs(age) / 1000)} s ${age > 0 ? "ago" : "in the future"}`;
    return refuse(
      "request_expired",
      `it was signed ${when} by the function's clock, and the limit is ${limit} minutes`,
    );
  }

  const runId = typeof body.run_id === "string" ? body.run_id.toLowerCase() : null;
  const backup = body.backup as string;
  switch (body.action) {
    case "probe":
      return { action: "probe", runId, backup: backup ?? null };
    case "export":
    case "offsite_check":
      return { action: body.action, runId: runId as string, backup, id: body.export as number };
    case "offsite_probe":
      return {
        action: "offsite_probe",
        runId: runId as string,
        backup,
        destination: body.destination as string,
      };
  }
  return {
    action: "backup",
    runId: runId as string,
    backup,
    schedule: body.schedule as string,
    dueAt: body.due_at as string,
    sentAt: body.sent_at as string,
    attempt: body.attempt as number,
    alert: body.alert !== false,
    wait: body.wait === true,
  };
}

/** Reads a body up to a limit, or until a signal. Returns null if it is larger. */
export async function readBytes(
  body: ReadableStream<Uint8Array> | null,
  limit: number,
  signal?: AbortSignal,
): Promise<Bytes | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = body?.getReader();
  signal?.addEventListener("abort", () => void reader?.cancel().catch(() => {}));
  for (;;) {
    const { value, done } = await reader?.read() ?? { value: undefined, done: true };
    if (done || value === undefined) break;
    size += value.length;
    if (size > limit) {
      await reader?.cancel();
      return null;
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function refuse(code: Refusal["code"], message: string): Refusal {
  return { code, message };
}

function fits(value: unknown, field: Field): boolean {
  switch (field.type) {
    case "string":
      return typeof value === "string" && new RegExp(field.pattern ?? "").test(value);
    case "integer":
      return isInteger(value) && value >= (field.minimum ?? 0) && value <= (field.maximum ?? value);
    default:
      return typeof value === "boolean";
  }
}

/** Whether a text in the form of RFC 3339 is a valid time. Date.parse accepts 30 February. */
function isInstant(text: string): boolean {
  if (Number.isNaN(Date.parse(text))) return false;
  const [year, month, day, hour] = text.split(/[-Tt:]/).map(Number);
  const lastDay = new Date(Date.UTC(year ?? 0, month ?? 0, 0)).getUTCDate();
  return (day ?? 0) <= lastDay && (hour ?? 0) <= 23;
}
