// Verifies the requests of aimindset_auto_backup, and signs what comes of them.
// Copy this file next to your index.ts; it imports nothing.
//
// The database signs the exact bytes of the body with the invocation token:
// HMAC-SHA256 in lower-case hexadecimal, in the header X-Backup-Signature. The
// token itself is never sent. Everybody who may read pg_net's queue sees
// requests, so one that is older than 15 minutes is refused.
//
// Many roles can write the logs, so the watchdog believes only a result that has
// a signature with the same token.

/** What the database asks for. */
export interface Order {
  readonly action?: "backup" | "probe";
  readonly run_id: string;
  readonly backup: string;
  readonly sent_at: string;
  // A probe has none of these.
  readonly schedule: string;
  readonly due_at: string;
  readonly attempt: number;
  readonly alert?: boolean;
  readonly wait?: boolean;
}

/** A request of the database. */
export interface Verified {
  readonly order: Order;
  /** Adds the signature to a result: the context of a row of system_logs, or a response. */
  sign<T extends Result>(result: T): Promise<T & { readonly signature: string }>;
}

/** What is signed of a result. Other fields may be added to it. */
export interface Result {
  /** "probe" for the answer to a probe. */
  readonly action?: "backup" | "probe";
  readonly success: boolean;
  readonly run_id: string;
  /** Of several rows about a run, the one with the highest revision counts. */
  readonly revision?: number;
  readonly code?: string;
  readonly sqlstate?: string;
  readonly backup_id?: string;
  readonly total_records?: number;
  readonly alert?: {
    readonly state?: string;
    readonly emails_sent?: number;
    readonly emails_failed?: number;
  };
  readonly error?: string;
}

const LARGEST = 16 * 1024;
const OLDEST_MS = 15 * 60_000;

/**
 * Reads a request. Returns it, or the response that refuses it. During a rotation
 * there are two tokens, and both are accepted.
 */
export async function verify(
  request: Request,
  tokens: readonly (string | undefined)[],
): Promise<Verified | Response> {
  const signature = request.headers.get("X-Backup-Signature") ?? "";
  const bytes = /^[0-9a-f]{64}$/.test(signature) ? await readBody(request) : null;
  if (bytes === null) return refuse("unauthorized");
  const given = Uint8Array.from(signature.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  let known: string | null = null;
  for (const token of tokens) {
    if (!token) continue;
    // It takes the same time for every wrong signature.
    if (await crypto.subtle.verify("HMAC", await importKey(token), given, bytes)) known = token;
  }
  if (known === null) return refuse("unauthorized");
  const order: Order = JSON.parse(new TextDecoder().decode(bytes));
  // The comparison is false for a time that is missing or not a time.
  const fresh = Math.abs(Date.now() - Date.parse(order.sent_at)) <= OLDEST_MS;
  if (!fresh) return refuse("request_expired");
  const key = await importKey(known);
  return {
    order,
    sign: async (result) => ({ ...result, signature: await sign(key, result) }),
  };
}

async function sign(key: CryptoKey, result: Result): Promise<string> {
  const text = [
    "backup-outcome-v1",
    typeOf(result),
    result.run_id,
    result.revision,
    result.code,
    result.sqlstate,
    result.backup_id,
    result.total_records,
    result.alert?.state,
    result.alert?.emails_sent,
    result.alert?.emails_failed,
    result.error,
  ].map((value) => value ?? "").join("\n");
  const bytes = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(text));
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function typeOf({ action, success }: Result): string {
  if (action === "probe") return success ? "probe" : "probe_failed";
  return success ? "auto_backup" : "auto_backup_error";
}

function importKey(token: string): Promise<CryptoKey> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = new TextEncoder().encode(token);
  return crypto.subtle.importKey("raw", key, algorithm, false, ["sign", "verify"]);
}

async function readBody(request: Request): Promise<ArrayBuffer | null> {
  const chunks: Blob[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > LARGEST) return null;
    chunks.push(new Blob([chunk]));
  }
  return new Blob(chunks).arrayBuffer();
}

function refuse(code: string): Response {
  return Response.json({ success: false, code }, { status: 401 });
}
