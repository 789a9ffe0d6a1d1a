/**
 * Measures what signatures cost the function. It prints a line with two times after the other, in
 * microseconds: what it takes to verify the signature of a request, and to sign an outcome. It does
 * so until nobody reads them.
 */

import { signOutcome } from "../outcome.ts";
import { acceptedTokens, createSigner, matchSignature } from "../token.ts";
import { BACKUP_ID, RUN_ID, signature, TOKEN } from "./project.ts";

const CALLS = 50;
const tokens = acceptedTokens((name) => name === "T" ? TOKEN : undefined, "T");
const body = new TextEncoder().encode(JSON.stringify({
  run_id: RUN_ID,
  backup: "auto-backup",
  schedule: "daily",
  due_at: "2026-03-02T06:00:00Z",
  attempt: 1,
  sent_at: "2026-03-02T06:00:00Z",
}));
const signed = signature(body);
const outcome = { run_id: RUN_ID, revision: 1, backup_id: BACKUP_ID, total_records: 4242 };

/** Measures one of many calls, each of which returns whether it did what it should. */
async function time(call: () => Promise<boolean>): Promise<number> {
  const begin = performance.now();
  for (let i = 0; i < CALLS; i++) {
    if (!await call()) throw new Error("a signature is wrong");
  }
  return (performance.now() - begin) * 1000 / CALLS;
}

const verify = async () => await matchSignature(signed, body, tokens) !== null;
const sign = async () => {
  const token = tokens[0];
  if (token === undefined) return false;
  const { signature } = await signOutcome(createSigner(token), "auto_backup", outcome);
  return signature.length === 64;
};

// The compiler has optimized both by then.
for (let i = 0; i < 20; i++) {
  await time(verify);
  await time(sign);
}
for (;;) {
  const line = `${await time(verify)} ${await time(sign)}\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(line));
}
