import assert from "node:assert/strict";
import { acceptedTokens, isSignature, matchSignature } from "../token.ts";
import { NEXT_TOKEN, signature, TOKEN } from "./project.ts";

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

const TEXT = new TextEncoder().encode('{"run_id":"ação"}');

// Exactly the token that signed the text matches, and exactly the text that was signed.
Deno.test("token: only the right signature of the right text matches", async () => {
  const accepted = acceptedTokens(env({ T: TOKEN, T_NEXT: NEXT_TOKEN }), "T");
  const right = signature(TEXT);
  assert.equal((await matchSignature(right, TEXT, accepted))?.secret, "T");
  const next = signature(TEXT, NEXT_TOKEN);
  assert.equal((await matchSignature(next, TEXT, accepted))?.secret, "T_NEXT");
  const misses = [
    "",
    TOKEN,
    right.slice(1),
    right + "0",
    right.toUpperCase(),
    right.replace(/.$/, right.endsWith("0") ? "1" : "0"),
    right.replace(/^./, right.startsWith("0") ? "1" : "0"),
    signature(TEXT, TOKEN + NEXT_TOKEN),
    signature(TEXT, TOKEN + "\n"),
    signature(TEXT, "x"),
    signature(""),
  ];
  for (const miss of misses) assert.equal(await matchSignature(miss, TEXT, accepted), null, miss);
  for (const changed of [TEXT.slice(1), new Uint8Array(), TEXT.with(3, 0x2e)]) {
    assert.equal(await matchSignature(right, changed, accepted), null);
  }
  const stray = acceptedTokens(env({ T: TOKEN + "\n" }), "T");
  assert.equal(await matchSignature(right, TEXT, stray), null);
  assert.equal(await matchSignature(right, TEXT, []), null);
});

// The form of a signature: 64 lower-case hexadecimal digits, and nothing around them.
Deno.test("token: the form of a signature", () => {
  assert(isSignature("0123456789abcdef".repeat(4)));
  for (const form of [null, "", "a".repeat(63), "a".repeat(65), "A".repeat(64), "g".repeat(64)]) {
    assert(!isSignature(form), `${form}`);
  }
  assert(!isSignature(`${"a".repeat(64)}\n`));
});

// A token in tokens.json is accepted under the secret's name, and nothing else: not a text that is
// not a token, such as the digest of one, and not another name.
Deno.test("token: a token beside the function is accepted", async () => {
  const stored = { T: TOKEN, T_NEXT: "", OTHER: NEXT_TOKEN, X: 1 };
  const accepted = acceptedTokens(env({}), "T", stored);
  assert.deepEqual(accepted, [{ secret: "T", value: TOKEN }]);
  assert.equal((await matchSignature(signature(TEXT), TEXT, accepted))?.secret, "T");
  assert.equal(await matchSignature(signature(TEXT, NEXT_TOKEN), TEXT, accepted), null);
  const digest = "0123456789abcdef".repeat(4);
  for (const broken of [null, [], "x", { T: digest }, { T: TOKEN + "x" }, { T: [TOKEN] }]) {
    assert.deepEqual(acceptedTokens(env({}), "T", broken), []);
  }
  const both = acceptedTokens(env({ T: NEXT_TOKEN }), "T", { T_NEXT: TOKEN });
  assert.equal((await matchSignature(signature(TEXT, NEXT_TOKEN), TEXT, both))?.secret, "T");
  assert.equal((await matchSignature(signature(TEXT), TEXT, both))?.secret, "T_NEXT");
});
