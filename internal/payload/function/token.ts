/** The invocation token, which authorizes a request to run a backup. */

import { isRecord } from "./config.ts";
import contract from "./contract.json" with { type: "json" };

/** Reads one environment variable. */
export type Env = (name: string) => string | undefined;

/** A token that the function accepts, and the secret that it was found in. */
export interface AcceptedToken {
  readonly secret: string;
  /** The token itself, or empty if only its digest is known. */
  readonly value: string;
  /** SHA-256 of the token in lower-case hexadecimal, if tokens.json contains it. */
  readonly digest?: string;
}

/**
 * Lists the accepted tokens: that of the configured secret and, during a rotation, its successor.
 * Values are not trimmed; one with a stray newline matches no header.
 *
 * In a self-hosted project, where the environment is fixed when the runtime starts, tokens.json
 * beside the function contains the tokens' digests by the names of the secrets. A token has 256
 * random bits, so its digest reveals nothing. On the platform the file is empty.
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
 * Finds the token of a request. The time that this takes does not depend on how much of a guess is
 * right: the digest is compared in full with that of every accepted token.
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

/** Compares two digests in a time that does not depend on where they differ. */
function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}
