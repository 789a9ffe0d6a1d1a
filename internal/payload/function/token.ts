/** The invocation token: the only thing that lets a request run a backup. */

import contract from "./contract.json" with { type: "json" };

/** Reads one environment variable. */
export type Env = (name: string) => string | undefined;

/** A token that the function accepts, and the secret in which it was found. */
export interface AcceptedToken {
  readonly secret: string;
  readonly value: string;
}

/**
 * Lists the accepted tokens: the one of the configured secret and, while a rotation is under way,
 * its successor. Values are used as they stand; one with a stray newline matches no header.
 */
export function acceptedTokens(env: Env, secret: string): AcceptedToken[] {
  return [secret, secret + contract.next_token_suffix]
    .map((name) => ({ secret: name, value: env(name) ?? "" }))
    .filter((token) => token.value !== "");
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
    if (sameBytes(guess, await digest(token.value)) && presented !== null) match = token;
  }
  return match;
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  a.forEach((byte, i) => difference |= byte ^ (b[i] ?? 0));
  return difference === 0;
}
