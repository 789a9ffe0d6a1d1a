// Verifies the requests of aimindset_auto_backup. Copy this file next to your
// index.ts; it imports nothing.
//
// The database signs the exact bytes of the body with the invocation token:
// HMAC-SHA256 in lower-case hexadecimal, in the header X-Backup-Signature. The
// token itself is never sent. Everybody who may read pg_net's queue sees
// requests, so one that is older than 15 minutes is refused.

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

const LARGEST = 16 * 1024;
const OLDEST_MS = 15 * 60_000;

/**
 * Reads a request. Returns its body, or the response that refuses it. During a
 * rotation there are two tokens, and both are accepted.
 */
export async function verify(
  request: Request,
  tokens: readonly (string | undefined)[],
): Promise<Order | Response> {
  const signature = request.headers.get("X-Backup-Signature") ?? "";
  const bytes = /^[0-9a-f]{64}$/.test(signature) ? await readBody(request) : null;
  if (bytes === null) return refuse("unauthorized");
  const given = Uint8Array.from(signature.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  let known = false;
  for (const token of tokens) {
    if (!token) continue;
    const key = new TextEncoder().encode(token);
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const hmac = await crypto.subtle.importKey("raw", key, algorithm, false, ["verify"]);
    // It takes the same time for every wrong signature.
    if (await crypto.subtle.verify("HMAC", hmac, given, bytes)) known = true;
  }
  if (!known) return refuse("unauthorized");
  const order: Order = JSON.parse(new TextDecoder().decode(bytes));
  // The comparison is false for a time that is missing or not a time.
  const fresh = Math.abs(Date.now() - Date.parse(order.sent_at)) <= OLDEST_MS;
  return fresh ? order : refuse("request_expired");
}

async function readBody(request: Request): Promise<Uint8Array<ArrayBuffer> | null> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.length;
    if (size > LARGEST) return null;
    chunks.push(chunk);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

function refuse(code: string): Response {
  return Response.json({ success: false, code }, { status: 401 });
}
