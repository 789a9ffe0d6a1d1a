import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { acceptedTokens, matchToken } from "../token.ts";
import { NEXT_TOKEN, TOKEN } from "./project.ts";

const env = (variables: Record<string, string>) => (name: string) => variables[name];

// While a rotation is under way the successor is accepted too; empty secrets are none.
Deno.test("token: both secrets of a rotation are accepted", () => {
  const both = env({ T: TOKEN, T_NEXT: NEXT_TOKEN });
  assert.deepEqual(acceptedTokens(both, "T").map(({ secret }) => secret), ["T", "T_NEXT"]);
  assert.deepEqual(acceptedTokens(env({ T: "", T_NEXT: NEXT_TOKEN }), "T"), [
    { secret: "T_NEXT", value: NEXT_TOKEN },
  ]);
  assert.deepEqual(acceptedTokens(env({}), "T"), []);
});

// Exactly the stored value matches; a near miss, a stray newline or nothing does not.
Deno.test("token: only the exact value matches", async () => {
  const accepted = acceptedTokens(env({ T: TOKEN, T_NEXT: NEXT_TOKEN }), "T");
  assert.equal((await matchToken(TOKEN, accepted))?.secret, "T");
  assert.equal((await matchToken(NEXT_TOKEN, accepted))?.secret, "T_NEXT");
  const misses = [null, "", TOKEN.slice(1), TOKEN + "x", TOKEN.toLowerCase(), TOKEN + NEXT_TOKEN];
  for (const miss of misses) assert.equal(await matchToken(miss, accepted), null);
  assert.equal(await matchToken(TOKEN, acceptedTokens(env({ T: TOKEN + "\n" }), "T")), null);
  assert.equal(await matchToken(null, [{ secret: "T", value: "" }]), null);
});

// A digest in tokens.json admits its token under the secret's name, and nothing else: not a text that
// is no digest, not another name, and never the digest itself.
Deno.test("token: a digest beside the function admits its token", async () => {
  const hash = (text: string) => createHash("sha256").update(text).digest("hex");
  const digests = { T: hash(TOKEN), T_NEXT: "", OTHER: hash(NEXT_TOKEN), X: 1 };
  const accepted = acceptedTokens(env({}), "T", digests);
  assert.equal((await matchToken(TOKEN, accepted))?.secret, "T");
  for (const miss of [NEXT_TOKEN, digests.T, ""]) {
    assert.equal(await matchToken(miss, accepted), null);
  }
  for (const broken of [null, [], "x", { T: digests.T.toUpperCase() }, { T: [digests.T] }]) {
    assert.deepEqual(acceptedTokens(env({}), "T", broken), []);
  }
  const both = acceptedTokens(env({ T: NEXT_TOKEN }), "T", { T_NEXT: digests.T });
  assert.equal((await matchToken(NEXT_TOKEN, both))?.secret, "T");
  assert.equal((await matchToken(TOKEN, both))?.secret, "T_NEXT");
});
