import assert from "node:assert/strict";
import { Project } from "../../../../examples/own-function-source/function/project.ts";

// The example of a user's own function shows the project's keys as the provider's own function
// does: the secret key first, and the legacy one once where the first is refused or missing.
for (
  const [name, env, accepted, status, sent] of [
    ["the secret key", { secret: '{"default":"sb_secret_1"}', legacy: "eyJ.a.b" }, "sb_secret_1", [
      200,
      200,
    ], ["sb_secret_1", "sb_secret_1"]],
    [
      "the legacy key after it, and first from then on",
      { secret: '{"other":"sb_secret_1"}', legacy: "eyJ.a.b" },
      "eyJ.a.b",
      [200, 200],
      ["sb_secret_1", "eyJ.a.b Bearer eyJ.a.b", "eyJ.a.b Bearer eyJ.a.b"],
    ],
    ["the legacy key alone", { secret: "{}", legacy: "eyJ.a.b" }, "eyJ.a.b", [200, 200], [
      "eyJ.a.b Bearer eyJ.a.b",
      "eyJ.a.b Bearer eyJ.a.b",
    ]],
    ["neither", { secret: '{"default":"sb_secret_1"}', legacy: "eyJ.a.b" }, "another", [401, 401], [
      "sb_secret_1",
      "eyJ.a.b Bearer eyJ.a.b",
      "sb_secret_1",
      "eyJ.a.b Bearer eyJ.a.b",
    ]],
  ] as const
) {
  Deno.test(`the example of an own function: ${name}`, async () => {
    const before = { fetch: globalThis.fetch, env: Deno.env.toObject() };
    const calls: string[] = [];
    globalThis.fetch = (_, init) => {
      const headers = new Headers(init?.headers);
      const key = headers.get("apikey");
      calls.push([key, headers.get("authorization")].filter(Boolean).join(" "));
      return Promise.resolve(new Response("[]", { status: key === accepted ? 200 : 401 }));
    };
    Deno.env.set("SUPABASE_URL", "http://project.test");
    Deno.env.set("SUPABASE_SECRET_KEYS", env.secret);
    Deno.env.set("SUPABASE_SERVICE_ROLE_KEY", env.legacy);
    try {
      const project = new Project();
      const answers = [await project.insert("t", {}), await project.insert("t", {})];
      assert.deepEqual(answers.map((answer) => answer.status), status);
      assert.deepEqual(calls, sent);
    } finally {
      globalThis.fetch = before.fetch;
      for (const name of ["SUPABASE_URL", "SUPABASE_SECRET_KEYS", "SUPABASE_SERVICE_ROLE_KEY"]) {
        const value = before.env[name];
        if (value === undefined) Deno.env.delete(name);
        else Deno.env.set(name, value);
      }
    }
  });
}

Deno.test("the example of an own function: no key at all", () => {
  Deno.env.delete("SUPABASE_SECRET_KEYS");
  Deno.env.delete("SUPABASE_SERVICE_ROLE_KEY");
  assert.throws(() => new Project(), /no key/);
});
