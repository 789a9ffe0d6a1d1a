/** The invocation token, with which the database signs its requests. It is never sent. */

import { isRecord } from "./config.ts";
import contract from "./contract.json" with { type: "json" };

/** Reads one environment variable. */
export type Env = (name: string) => string | undefined;

/** A token whose signatures the function accepts, and the secret that it was found in. */
export interface AcceptedToken {
  readonly secret: string;
  readonly value: string;
}

const TOKEN = /^[\w-]{43}$/;
const SIGNATURE = /^[0-9a-f]{64}$/;

/**
 * Lists the accepted tokens: that of the configured secret and, during a rotation, its successor.
 * Values are not trimmed; one with a stray newline verifies no signature.
 *
 * In a self-hosted project, where the environment is fixed when the runtime starts, tokens.json
 * beside the function contains the tokens by the names of the secrets. On the platform the file is
 * empty.
 */
export function acceptedTokens(env: Env, secret: string, stored: unknown = {}): AcceptedToken[] {
  const known: Record<string, unknown> = isRecord(stored) ? stored : {};
  return [secret, secret + contract.next_token_suffix].flatMap((name) => {
    const tokens: AcceptedToken[] = [];
    const value = env(name) ?? "";
    if (value !== "") tokens.push({ secret: name, value });
    const token = known[name];
    if (typeof token === "string" && TOKEN.test(token)) tokens.push({ secret: name, value: token });
    return tokens;
  });
}

/**
 * Bytes that Web Crypto takes. Since version 5.7, TypeScript tells them from those in memory that
 * threads share, but not in words that the compiler of Supabase's platform knows.
 */
export type Bytes = ReturnType<TextEncoder["encode"]>;

/** Signs a text: HMAC-SHA256 in lower-case hexadecimal. */
export type Sign = (text: string) => Promise<string>;

/** Returns what signs with a token. */
export function createSigner(token: AcceptedToken): Sign {
  return async (text) => {
    const key = await importKey(token, "sign");
    const bytes = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(text));
    return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
}

function importKey(token: AcceptedToken, usage: "sign" | "verify"): Promise<CryptoKey> {
  const key = new TextEncoder().encode(token.value);
  return crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, [usage]);
}

/** Whether a text has the form of a signature. */
export function isSignature(text: string | null): text is string {
  return text !== null && SIGNATURE.test(text);
}

/**
 * Finds the token with which a text was signed: HMAC-SHA256 in lower-case hexadecimal. The time that
 * this takes does not depend on how much of a signature is right, or on which token verifies it.
 */
export async function matchSignature(
  signature: string,
  signed: Bytes,
  accepted: readonly AcceptedToken[],
): Promise<AcceptedToken | null> {
  if (!isSignature(signature)) return null;
  const bytes = Uint8Array.from(signature.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  let match: AcceptedToken | null = null;
  for (const token of accepted) {
    const key = await importKey(token, "verify");
    if (await crypto.subtle.verify("HMAC", key, bytes, signed)) match = token;
  }
  return match;
}
