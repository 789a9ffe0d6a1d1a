/** The invocation token: the only thing that lets a request run a backup. */

import { isRecord } from "./config.ts";
import contract from "./contract.json" with { type: "json" };

/** Reads one environment variable. */
export type Env = (name: string) => string | undefined;

/** A token that the function accepts, and the secret in which it was found. */
export interface AcceptedToken {
  readonly secret: string;
  /** The token itself, or empty where only its digest is known. */
  readonly value: string;
  /** SHA-256 of the token in lower-case hexadecimal digits, where tokens.json holds it. */
  readonly digest?: string;
}

/**
 * Lists the accepted tokens: the one of the configured secret and, while a rotation is under way,
 * its successor. Values are used as they stand; one with a stray newline matches no header.
 *
 * Where functions are files and their environment is fixed when the runtime starts, tokens.json
 * beside the function names the same secrets with the tokens' digests. A token has 256 random bits,
 * so its digest gives nothing away. On Supabase itself the file is empty.
 */
export function acceptedTokens(env: Env, secret: string, digests: unknown = {}): AcceptedToken[] {
  const known: Record<string, unknown> = isRecord(digests) ? digests : {};
  return [secret, secret + contract.next_token_suffix].flatMap((name) => {
    const tokens: AcceptedToken[] = [];
    const value = env(name) ?? "";
    if (value !== "") tokens.push({ secret: name, value });
    const digest = known[name];
    if (typeof digest === "string" && /^[0-9a-f]{64}$/.test(digest)) {
      tokens.push({ secret: name, value: "", digest });
    }
    return tokens;
  });
}

/**
 * Finds the token that a request presented. The time this takes says nothing about how much of a
 * guess was right: digests are compared, in full, with every accepted token.
 */
export async function matchToken(
  presented: string | null,
  accepted: readonly AcceptedToken[],
): Promise<AcceptedToken | null> {
  const guess = await digest(presented ?? "");
  let match: AcceptedToken | null = null;
  for (const token of accepted) {
    const wanted = token.digest ?? await digest(token.value);
    if (sameText(guess, wanted) && presented !== null) match = token;
  }
  return match;
}

async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Compares two digests; the time does not depend on where they differ. */
function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
