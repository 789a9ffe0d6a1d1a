/**
 * The requests about off-site copies, with a database and a bucket in memory: what the function asks
 * the ledger, and what it responds.
 */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { FakeBucket, refusal } from "./bucket.ts";
import { type Harness, harness, outcomeSignature, RUN_ID } from "./project.ts";
import { BEGIN, complete, failure, FakeServer, READY, row, welcome } from "./server.ts";

const KEY = generateKeyPairSync("rsa", { modulusLength: 3072 }).publicKey
  .export({ type: "spki", format: "der" }).toString("base64");

const TARGET = {
  destination: "r2",
  endpoint: "https://bucket.test",
  region: "eu-central-1",
  bucket: "copies",
  path: "prod/p/auto-backup/",
  recipients: [KEY],
  lock: null as { mode: string; days: number } | null,
  verify: "head",
  secrets: { access_key_id: "R2_ID", secret_access_key: "R2_KEY" },
};

const CREDENTIALS = {
  SUPABASE_DB_URL: "postgresql://postgres:secret@db:5432/postgres?sslmode=disable",
  R2_ID: "AKIATEST",
  R2_KEY: "canary-of-the-secret-access-key",
};

interface Setup extends Harness {
  readonly bucket: FakeBucket;
  /** The functions of the ledger that were called, with their parameters. */
  readonly asked: { name: string; parameters: string[] }[];
}

/** Sets up the function with a ledger whose functions return values, in their order. */
function setup(
  results: readonly unknown[],
  env: Record<string, string | undefined> = CREDENTIALS,
): Setup {
  const bucket = new FakeBucket();
  const asked: Setup["asked"] = [];
  const server = new FakeServer(async (connection) => {
    await welcome(connection);
    for (const result of [[], ...results]) {
      const { bodies } = await connection.receiveStatement();
      const [statement = "", bind = ""] = bodies.map((bytes) => new TextDecoder().decode(bytes));
      const name = /auto_backup\.(\w+)/.exec(statement)?.[1] ?? "configure";
      // deno-lint-ignore no-control-regex -- lengths stand between the texts
      asked.push({ name, parameters: bind.split(/[\x00-\x1f]+/).filter((text) => text !== "") });
      if (result instanceof Uint8Array) connection.send(BEGIN, result, READY);
      else connection.send(BEGIN, row(JSON.stringify(result)), complete("SELECT 1"));
    }
  });
  const timer = (ms: number, callback: () => void) => {
    const id = setTimeout(callback, ms);
    return () => clearTimeout(id);
  };
  const deps = { sockets: server, fetch: bucket.fetch, timer };
  return { ...harness({ env, deps }), bucket, asked };
}

const EXPORT = { action: "export", export: 7 };
const CHECK = { action: "offsite_check", export: 3 };
const PROBE = { action: "offsite_probe", destination: "r2" };

/** What export_claim returns of an export that lacks only its manifest. */
const WORK = {
  ...TARGET,
  export: 7,
  path: "prod/p/auto-backup/x/",
  tables: [],
  limits: { call_raw_bytes: 1e6, part_raw_bytes: 1e6, call_ms: 60_000 },
  stage: "manifest",
  next: {},
};

async function body(response: Response, type: string): Promise<Record<string, unknown>> {
  const { signature, ...document } = await response.json();
  assert.equal(signature, outcomeSignature(type, document));
  return document;
}

// pg_net waits for nothing but the claim, and the work goes on behind the response.
Deno.test("an export is claimed, answered and worked on", async () => {
  const { post, idle, bucket, asked, log } = setup([
    WORK,
    "the manifest",
    11,
    { stage: "complete", next: {} },
  ]);
  const response = await post(EXPORT);
  assert.equal(response.status, 202);
  assert.deepEqual(await body(response, "export"), {
    success: null,
    state: "running",
    run_id: RUN_ID,
  });
  await idle();
  assert.deepEqual(asked.map(({ name }) => name), [
    "configure",
    "export_claim",
    "export_manifest",
    "export_announce",
    "export_stored",
  ]);
  for (const { parameters } of asked.slice(1)) {
    assert(parameters.includes("7") && parameters.some((text) => text.endsWith(RUN_ID)));
  }
  assert.deepEqual([...bucket.objects.keys()], ["prod/p/auto-backup/x/manifest.json"]);
  assert.deepEqual(log, ["export 7 to r2: complete"]);
});

// A delivery that comes twice, or while another call is at it, does nothing.
Deno.test("an export that another call has claimed", async () => {
  for (const result of [{ skip: "another worker is at it" }, null]) {
    const { post, idle, bucket } = setup([result]);
    const response = await post(EXPORT);
    assert.equal(response.status, 409);
    assert.equal((await body(response, "export")).code, "duplicate");
    await idle();
    assert.equal(bucket.calls.length, 0);
  }
});

// What cannot even begin is in the response, signed, because the ledger cannot know it.
Deno.test("a call that cannot begin", async () => {
  const { SUPABASE_DB_URL: _, ...without } = CREDENTIALS;
  const refused = failure("42883", "function auto_backup.export_claim does not exist");
  for (
    const [results, env, code, sqlstate] of [
      [[], without, "offsite_database_url", undefined],
      [[refused], CREDENTIALS, "offsite_database_error", "42883"],
    ] as const
  ) {
    const { post } = setup(results, env);
    const response = await post(EXPORT);
    assert.equal(response.status, 503);
    const document = await body(response, "export");
    assert.deepEqual([document.code, document.sqlstate], [code, sqlstate]);
    assert(!JSON.stringify(document).includes("secret@"));
  }
});

// Without its credentials, the function says which secret is missing.
Deno.test("a secret that is not set", async () => {
  const env = { ...CREDENTIALS, R2_KEY: undefined };
  for (const [request, failed] of [[EXPORT, "export_failed"], [CHECK, "check_failed"]] as const) {
    const { post, asked, bucket } = setup([{ ...WORK, check: 3, call_ms: 60_000 }, {}], env);
    const document = await body(await post(request), request.action);
    assert.equal(document.code, "offsite_key_unknown");
    assert.match(String(document.error), /R2_KEY is not set$/);
    assert.equal(asked.at(-1)?.name, failed);
    assert.equal(bucket.calls.length, 0);
  }
  const { post } = setup([TARGET], env);
  const { checks } = await body(await post(PROBE), "offsite_probe");
  assert.equal((checks as Record<string, { code?: string }>).put?.code, "offsite_key_unknown");
});

// Every object is looked at, and the ledger gets one code for each.
Deno.test("a look at the copies", async () => {
  const object = (object_id: number, key: string, locked_until: string | null = null) => ({
    object_id,
    key,
    bytes: 4,
    sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    locked_until,
  });
  const { post, idle, bucket, asked, log } = setup([
    { ...TARGET, check: 3, call_ms: 60_000 },
    [
      object(1, "a"),
      object(2, "b"),
      object(3, "c"),
      object(4, "d", "2098-01-01T00:00:00Z"),
      object(5, "e", "2098-01-01T00:00:00Z"),
    ],
    5,
    [],
    { state: "failed" },
  ]);
  const bytes = new TextEncoder().encode("test");
  bucket.objects.set("a", { bytes, lock: null });
  bucket.objects.set("b", { bytes: new TextEncoder().encode("rest"), lock: null });
  bucket.objects.set("d", { bytes, lock: "GOVERNANCE" });
  bucket.objects.set("e", { bytes, lock: null });
  assert.equal((await post(CHECK)).status, 202);
  await idle();
  assert.deepEqual(asked.map(({ name }) => name).slice(1), [
    "check_claim",
    "check_next",
    "check_result",
    "check_next",
    "check_finish",
  ]);
  const { results } = JSON.parse(
    asked[3]?.parameters.find((text) => text.includes("results"))?.replace(/^[^{]*/, "") ?? "{}",
  );
  assert.deepEqual(results.map(({ code }: { code: unknown }) => code), [
    null,
    "offsite_object_changed",
    "offsite_object_missing",
    null,
    "offsite_object_unlocked",
  ]);
  assert.deepEqual(log, ["check 3 of r2: complete"]);
});

// A look that takes long goes on in the next call; one that is refused says why.
Deno.test("a look that does not end", async () => {
  const known = [{ object_id: 1, key: "a", bytes: 4, sha256: "", locked_until: null }];
  const late = setup([{ ...TARGET, check: 3, call_ms: 0 }, known, 1, {}]);
  await late.post(CHECK);
  await late.idle();
  assert.equal(late.asked.at(-1)?.name, "check_yield");

  const refused = setup([{ ...TARGET, check: 3, call_ms: 60_000 }, known, {}]);
  refused.bucket.before = () => refusal(403, "AccessDenied");
  await refused.post(CHECK);
  await refused.idle();
  assert.equal(refused.asked.at(-1)?.name, "check_failed");
  assert(refused.asked.at(-1)?.parameters.some((text) => text.includes("offsite_denied")));
});

// A probe shows what a copy could do: write, be read and be locked, and not be deleted.
Deno.test("the probe of a destination", async () => {
  const lock = { mode: "governance", days: 30 };
  const locked = setup([{ ...TARGET, lock, verify: "read" }]);
  const response = await locked.post(PROBE);
  assert.equal(response.status, 200);
  const document = await body(response, "offsite_probe");
  const checks = document.checks as Record<
    string,
    { ok: boolean; warning?: string; code?: string }
  >;
  assert.deepEqual(Object.entries(checks).map(([name, { ok }]) => [name, ok]), [
    ["database", true],
    ["put", true],
    ["read", true],
    ["lock", true],
    ["delete_refused", true],
  ]);
  assert.equal(locked.bucket.objects.size, 1);

  const plain = setup([TARGET]);
  const { checks: warned } = await body(await plain.post(PROBE), "offsite_probe");
  assert.equal((warned as typeof checks).delete_refused?.code, "offsite_deletable");
  assert.equal(plain.bucket.objects.size, 0);

  const blind = setup([{ ...TARGET, verify: "write" }]);
  blind.bucket.before = ({ method }) => method === "HEAD" ? refusal(403, "AccessDenied") : null;
  const { checks: unread } = await body(await blind.post(PROBE), "offsite_probe");
  assert.match((unread as typeof checks).read?.warning ?? "", /cannot read/);
});

// Each check that fails has a code, and the probe then fails.
Deno.test("a probe that fails", async () => {
  const lock = { mode: "compliance", days: 30 };
  const cases: [string, string, (setup: Setup) => void][] = [
    [
      "put",
      "offsite_no_bucket",
      ({ bucket }) => bucket.before = () => refusal(404, "NoSuchBucket"),
    ],
    ["read", "offsite_denied", ({ bucket }) => {
      bucket.before = ({ method }) => method === "HEAD" ? refusal(403, "AccessDenied") : null;
    }],
    ["lock", "offsite_lock_missing", ({ bucket }) => {
      bucket.after = ({ method, key }) => {
        const object = bucket.objects.get(key);
        if (method === "PUT" && object !== undefined) {
          bucket.objects.set(key, { ...object, lock: null });
        }
        return null;
      };
    }],
    ["delete_refused", "offsite_deletable", ({ bucket }) => {
      bucket.before = ({ method }) =>
        method === "DELETE" ? new Response(null, { status: 204 }) : null;
    }],
    ["delete_refused", "offsite_server", ({ bucket }) => {
      bucket.before = ({ method }) => method === "DELETE" ? refusal(500, "InternalError") : null;
    }],
  ];
  for (const [check, code, breaks] of cases) {
    const probe = setup([{ ...TARGET, lock }]);
    breaks(probe);
    const response = await probe.post(PROBE);
    assert.equal(response.status, 500, check);
    const { checks, code: all } = await body(response, "offsite_probe");
    assert.deepEqual([all, (checks as Record<string, { code?: string }>)[check]?.code], [
      "probe_failed",
      code,
    ]);
  }
  const unknown = setup([null]);
  const response = await unknown.post(PROBE);
  assert.deepEqual([response.status, (await response.json()).code], [400, "bad_request"]);
});
