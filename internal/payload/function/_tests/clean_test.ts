import assert from "node:assert/strict";
import lines from "../../../text/testdata/lines.json" with { type: "json" };
import { clip, createCleaner, line, plainText } from "../clean.ts";
import { BACKUP_ID, SECRET_KEY, SERVICE_JWT, TOKEN } from "./project.ts";

const clean = createCleaner([" known value\n", ""]);

// What must not be stored goes; what explains the failure stays.
for (
  const [text, wanted] of [
    [`Bearer ${SERVICE_JWT} was refused`, "Bearer [removido] was refused"],
    [`key ${SERVICE_JWT}`, "key [removido]"],
    [`key ${SECRET_KEY}!`, "key [removido]!"],
    ["sb_publishable_abcDEF1", "[removido]"],
    ["re_sample_0123456789", "[removido]"],
    [`the token ${TOKEN}`, "the token [removido]"],
    ["basic dXNlcjpwYXNz", "basic [removido]"],
    ["password=hunter2 host=x", "password= [removido] host=x"],
    ['{"apikey":"abc","b":1}', '{"apikey": [removido],"b":1}'],
    ["postgresql://postgres:pa55@db.x:5432/postgres", "postgresql://db.x:5432/postgres"],
    ["GET https://x.co/rest/v1/a?apikey=1&b=2 failed", "GET https://x.co/rest/v1/a failed"],
    ["holds known value here", "holds [removido] here"],
    ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "[removido]"],
    [`backup ${BACKUP_ID} failed`, `backup ${BACKUP_ID} failed`],
    [
      'violates "backup_comments_original_id_parent_id_and_article_fkey"',
      'violates "backup_comments_original_id_parent_id_and_article_fkey"',
    ],
    ["password authentication failed", "password authentication failed"],
    ["\n\n first \t line\u0007\n    at run (file:///x.ts:1:2)", "first line"],
    ["", ""],
  ] as const
) {
  Deno.test(`clean: ${JSON.stringify(text.slice(0, 50))}`, () => {
    assert.equal(clean(text), wanted);
  });
}

// Errors are read by their innermost message and never by their stack.
Deno.test("clean: errors and other values", () => {
  assert.equal(clean(new TypeError("fetch failed", { cause: new Error("refused") })), "refused");
  assert.equal(clean(new TypeError("fetch failed", { cause: "x" })), "fetch failed");
  assert.equal(clean(new RangeError()), "RangeError");
  assert.equal(clean({ a: 1 }), '{"a":1}');
  assert.equal(clean(undefined), "");
  assert.equal(clean(null), "null");
});

// The limit counts characters, and no character is cut in two.
Deno.test("clean: at most 200 characters", () => {
  assert.equal([...clean("á b ".repeat(200))].length, 200);
  assert.equal(clip("💾".repeat(201)), "💾".repeat(199) + "…");
  assert.equal(clip("💾".repeat(200)), "💾".repeat(200));
});

// The alert function puts its texts into HTML without escaping them.
Deno.test("clean: plain text holds nothing that HTML would read", () => {
  assert.equal(plainText("a<b>&\n\u2028c"), "a‹b›＆ c");
});

// One rule for SQL, for the provider and for this function.
Deno.test("clean: a line is what it is everywhere else", () => {
  for (const [text = "", wanted] of lines) {
    assert.equal(line(text), wanted, JSON.stringify(text));
    assert.equal(plainText(text), wanted, JSON.stringify(text));
  }
  assert.equal(line("half \ud83d of one"), "half of one");
});

// What is removed later could hide a secret before.
Deno.test("clean: a secret with invisible characters in it", () => {
  const hidden = [...TOKEN].join("\u200b");
  assert.equal(createCleaner([TOKEN])(`the token ${hidden}`), "the token [removido]");
  assert.equal(clean(`Bearer\u202e ${SERVICE_JWT}`), "Bearer [removido]");
});

// White space before it shrinks, so what is cut off after 4,096 characters could be shown.
Deno.test("clean: no part of a secret is left where the text is cut", () => {
  for (const secret of [TOKEN, SECRET_KEY, SERVICE_JWT]) {
    const cleaner = createCleaner([secret]);
    for (let kept = 1; kept < secret.length; kept++) {
      const text = "x" + " ".repeat(4096 - 1 - kept) + secret + " and more".repeat(100);
      const got = cleaner(text);
      assert.equal(got, "x", `${kept} characters of the secret`);
    }
  }
  assert.equal(clean("postgresql://postgres:" + "p".repeat(5000) + "@host/db"), "");
});
