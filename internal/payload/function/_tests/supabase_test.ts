import assert from "node:assert/strict";
import { createCleaner } from "../clean.ts";
import { isJwt, type Project, readProject, Supabase } from "../supabase.ts";
import {
  broken,
  type FakeProject,
  harness,
  html,
  json,
  SECRET_KEY,
  SERVICE_JWT,
} from "./project.ts";

const ADDRESS = "http://project.test";
const ANON_JWT = SERVICE_JWT.replace("c2ln", "YW5v");

// Which key is used, and which one may be sent as Authorization for a function that checks JWTs.
for (
  const [name, env, wanted] of [
    [
      "the key named default",
      { SUPABASE_SECRET_KEYS: `{"a":"sb_secret_a","default":"${SECRET_KEY}"}` },
      [SECRET_KEY, "SUPABASE_SECRET_KEYS", null],
    ],
    [
      "the first key where none is named default",
      { SUPABASE_SECRET_KEYS: '{"x":null,"y":"","a":"sb_secret_a","b":"sb_secret_b"}' },
      ["sb_secret_a", "SUPABASE_SECRET_KEYS", null],
    ],
    [
      "a secret key before the legacy one, which remains as bearer",
      {
        SUPABASE_SECRET_KEYS: `{"default":"${SECRET_KEY}"}`,
        SUPABASE_SERVICE_ROLE_KEY: SERVICE_JWT,
      },
      [SECRET_KEY, "SUPABASE_SECRET_KEYS", SERVICE_JWT],
    ],
    [
      "the anon JWT as bearer where the legacy variable holds a new key",
      { SUPABASE_SERVICE_ROLE_KEY: SECRET_KEY, SUPABASE_ANON_KEY: ANON_JWT },
      [SECRET_KEY, "SUPABASE_SERVICE_ROLE_KEY", ANON_JWT],
    ],
    [
      "the legacy key where the list of secret keys is broken",
      { SUPABASE_SECRET_KEYS: "{", SUPABASE_SERVICE_ROLE_KEY: SERVICE_JWT },
      [SERVICE_JWT, "SUPABASE_SERVICE_ROLE_KEY", SERVICE_JWT],
    ],
    [
      "the legacy key where the list of secret keys is empty",
      { SUPABASE_SECRET_KEYS: "{}", SUPABASE_SERVICE_ROLE_KEY: SERVICE_JWT },
      [SERVICE_JWT, "SUPABASE_SERVICE_ROLE_KEY", SERVICE_JWT],
    ],
    [
      "the legacy key where the list is not an object",
      { SUPABASE_SECRET_KEYS: "[]", SUPABASE_SERVICE_ROLE_KEY: SERVICE_JWT },
      [SERVICE_JWT, "SUPABASE_SERVICE_ROLE_KEY", SERVICE_JWT],
    ],
  ] as const
) {
  Deno.test(`keys: ${name}`, () => {
    const variables: Record<string, string> = { SUPABASE_URL: ADDRESS + "//", ...env };
    const project = readProject((variable) => variables[variable]);
    assert(typeof project !== "string", String(project));
    assert.deepEqual([project.key, project.keySource, project.jwt], wanted);
    assert.equal(project.url, ADDRESS);
  });
}

// What is missing is said, and a key that no header can carry counts as missing.
Deno.test("keys: what the environment lacks", () => {
  const read = (env: Record<string, string>) => readProject((name) => env[name]);
  assert.match(String(read({ SUPABASE_SERVICE_ROLE_KEY: SERVICE_JWT })), /^SUPABASE_URL /);
  assert.match(String(read({ SUPABASE_URL: "project.test" })), /^SUPABASE_URL /);
  assert.match(String(read({ SUPABASE_URL: ADDRESS })), /^neither SUPABASE_SECRET_KEYS nor /);
  const dirty = { SUPABASE_URL: ADDRESS, SUPABASE_SERVICE_ROLE_KEY: `${SERVICE_JWT}\n` };
  assert.match(String(read(dirty)), /^neither /);
});

// Only three base64url parts that begin like a JSON header make a JWT.
Deno.test("keys: what a JWT is", () => {
  assert(isJwt(SERVICE_JWT));
  for (const key of [SECRET_KEY, "eyJ.a", "eyJ.a.b.c", "abc.def.ghi"]) assert(!isJwt(key), key);
});

function client(
  key: string,
  jwt: string | null,
  otherKey: string | null = null,
): { project: FakeProject; supabase: Supabase } {
  const { project } = harness();
  const access: Project = { url: ADDRESS, key, keySource: "x", jwt, otherKey };
  return {
    project,
    supabase: new Supabase(access, project.fetch, project.timer, createCleaner([])),
  };
}

/** The keys that each call sent. */
function sent(project: FakeProject): (string | null)[][] {
  return project.calls.map(({ headers }) => [headers.get("apikey"), headers.get("authorization")]);
}

// PostgREST wants a JWT in both headers, and a new key in apikey alone.
Deno.test("headers: new keys stay out of Authorization", async () => {
  const legacy = client(SERVICE_JWT, SERVICE_JWT);
  await legacy.supabase.select("backup_logs", {}, 100);
  assert.deepEqual(sent(legacy.project), [[SERVICE_JWT, `Bearer ${SERVICE_JWT}`]]);

  const modern = client(SECRET_KEY, null);
  await modern.supabase.select("backup_logs", {}, 100);
  assert.deepEqual(sent(modern.project), [[SECRET_KEY, null]]);
  // The platform refuses secret keys from anything that looks like a browser.
  assert.match(modern.project.calls[0]?.headers.get("user-agent") ?? "", /^auto-backup\//);
});

// A function that requires a JWT gets one at the second attempt, and at once the next time.
Deno.test("keys: a refused call of a function is repeated once with the JWT", async () => {
  const { project, supabase } = client(SECRET_KEY, ANON_JWT);
  project.jwtGateway = true;
  project.alert = () => json(200, { emails_sent: 1, emails_failed: 0 });
  for (let i = 0; i < 2; i++) {
    const answer = await supabase.invoke("alert-processor", {}, 100);
    assert.equal("status" in answer ? answer.status : 0, 200);
  }
  const bearer = `Bearer ${ANON_JWT}`;
  assert.deepEqual(sent(project), [[SECRET_KEY, null], [SECRET_KEY, bearer], [SECRET_KEY, bearer]]);
});

// A secret key that was deleted since the function started, while the legacy one still works; and
// the other way round, legacy keys that are deactivated are never tried.
Deno.test("keys: a refused call of PostgREST is repeated once with the legacy key", async () => {
  const { project, supabase } = client(SECRET_KEY, SERVICE_JWT, SERVICE_JWT);
  project.keys = [SERVICE_JWT];
  for (let i = 0; i < 2; i++) assert((await supabase.select("backup_logs", {}, 100)).ok);
  const legacy = [SERVICE_JWT, `Bearer ${SERVICE_JWT}`];
  assert.deepEqual(sent(project), [[SECRET_KEY, null], legacy, legacy]);

  const modern = client(SECRET_KEY, SERVICE_JWT, SERVICE_JWT);
  modern.project.keys = [SECRET_KEY];
  assert((await modern.supabase.select("backup_logs", {}, 100)).ok);
  assert.deepEqual(sent(modern.project), [[SECRET_KEY, null]]);
});

// Both keys refused: the answer to the first one counts, and nothing is sent a third time. Without
// another key, and after any other failure, nothing is repeated.
Deno.test("keys: what is not repeated", async () => {
  const dead = client(SECRET_KEY, SERVICE_JWT, SERVICE_JWT);
  dead.project.keys = [];
  const refused = await dead.supabase.select("backup_logs", {}, 100);
  assert(!refused.ok && refused.problem.status === 401);
  assert.equal(dead.project.calls.length, 2);

  const alone = client(SERVICE_JWT, SERVICE_JWT);
  alone.project.keys = [];
  await alone.supabase.select("backup_logs", {}, 100);
  await alone.supabase.invoke("alert-processor", {}, 100);
  assert.equal(alone.project.calls.length, 2);

  const down = client(SECRET_KEY, SERVICE_JWT, SERVICE_JWT);
  down.project.fault(/./, () => json(503, {}));
  await down.supabase.select("backup_logs", {}, 100);
  assert.equal(down.project.calls.length, 1);
});

// A success that is not in the service's own form does not count as one.
Deno.test("answers: only PostgREST's own form counts", async () => {
  const { project, supabase } = client(SECRET_KEY, null);
  const answers: [string, () => Response, string][] = [
    ["page", () => html(200), "foreign"],
    ["no content", () => new Response(null, { status: 200 }), "empty"],
    [
      "JSON that is none",
      () => new Response("{", { headers: { "Content-Type": "application/json" } }),
      "foreign",
    ],
    ["JSON without its type", () => new Response(new Uint8Array([91, 93])), "foreign"],
    ["an object", () => json(200, {}), "answer"],
    ["a list of other things", () => json(200, [1]), "answer"],
    ["another status", () => json(206, []), "answer"],
    [
      "a redirect",
      () => new Response(null, { status: 302, headers: { Location: "http://evil.test/" } }),
      "empty",
    ],
    ["too much", () => json(200, ["x".repeat(1 << 20)]), "foreign"],
    ["a broken connection", broken, "network"],
  ];
  for (const [name, answer, cause] of answers) {
    project.fault(/./, answer);
    const rows = await supabase.select("backup_logs", {}, 100);
    assert(!rows.ok, name);
    assert.equal(rows.problem.cause, cause, name);
    assert.equal(rows.problem.kind, "unreachable", name);
  }
  assert.equal(project.calls.length, answers.length);
});

// An insert has worked when PostgREST says "created", and not before.
Deno.test("answers: an insert without its status", async () => {
  const { project, supabase } = client(SECRET_KEY, null);
  for (const status of [200, 204, 302, 503]) {
    project.fault(/./, () => new Response(null, { status }));
    const outcome = await supabase.insert("backup_logs", {}, 100);
    assert(!outcome.ok);
    assert.deepEqual([outcome.problem.cause, outcome.problem.status], ["empty", status]);
  }
});

// A refusal by the service is told apart from an answer that may change when the call is repeated.
Deno.test("answers: rejected or unreachable", async () => {
  const { project, supabase } = client(SECRET_KEY, null);
  const kinds: [number, unknown, string, string | undefined][] = [
    [400, { code: "23514", message: "m" }, "rejected", "23514"],
    [401, { message: "Invalid API key" }, "rejected", undefined],
    [404, { code: "PGRST205", message: "m" }, "rejected", "PGRST205"],
    [408, { message: "m" }, "unreachable", undefined],
    [429, { msg: "m" }, "unreachable", undefined],
    [500, { code: "57014", message: "m" }, "unreachable", "57014"],
    [503, { code: 503, error: "m" }, "unreachable", undefined],
    [400, "m", "rejected", undefined],
  ];
  for (const [status, body, kind, sqlstate] of kinds) {
    project.fault(/./, () => json(status, body));
    const outcome = await supabase.insert("backup_logs", {}, 100);
    assert(!outcome.ok);
    assert.deepEqual([outcome.problem.kind, outcome.problem.sqlstate], [kind, sqlstate]);
    assert.equal(outcome.problem.status, status);
  }
});

// A network error keeps its reason and loses the URL that stands before it.
Deno.test("answers: a network error shows no address", async () => {
  const { project, supabase } = client(SECRET_KEY, null);
  project.fault(/./, broken);
  const answer = await supabase.call("backup_all_data", 100);
  assert.equal(
    supabase.problem(answer).detail,
    "client error (SendRequest): connection closed before message completed",
  );
});
