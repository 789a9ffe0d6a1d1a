/** Exports against a ledger and a bucket in memory: what is stored, in which order, and until when. */

import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { createCleaner } from "../clean.ts";
import { runExport, type Work } from "../export.ts";
import type { LedgerCalls, Page } from "../ledger.ts";
import { LedgerProblem } from "../ledger.ts";
import type { Manifest } from "../recovery.ts";
import { FakeBucket, refusal } from "./bucket.ts";

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 3072 });
const RECIPIENT = publicKey.export({ type: "spki", format: "der" }).toString("base64");
const KEY_PEM = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
const CANARY = "canary-of-a-row";

/** Two tables with lines, and what was told to the ledger. */
class FakeLedger implements LedgerCalls {
  readonly tables = [
    Array.from({ length: 25 }, (_, i) => `{"id":"${i}","title":"${CANARY} ${"x".repeat(90)}"}`),
    [] as string[],
  ];
  readonly asked: string[] = [];
  readonly stored: Record<string, unknown>[] = [];
  readonly announced: { kind: string; key: string }[] = [];
  failed: Record<string, unknown> | null = null;
  /** Fails a call. */
  fault: (name: string) => void = () => {};
  #step: { stage: Work["stage"]; next: Work["next"] } = { stage: "freeze", next: {} };

  get step() {
    return this.#step;
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async call(name: string, _id: number, _worker: string, ...values: unknown[]): Promise<unknown> {
    this.asked.push(name);
    this.fault(name);
    switch (name) {
      case "export_freeze":
        return this.#go("rows", { table: 1, part: 1, after: null });
      case "export_announce":
        return this.announced.push(values[0] as { kind: string; key: string });
      case "export_stored":
        return this.#store(Number(values[0]), values[1] as Record<string, unknown>);
      case "export_schema":
        return `-- section ${values[0]}\n`;
      case "export_sums":
        return "0  x\n";
      case "export_manifest":
        return this.manifest();
      case "export_failed":
        this.failed = values[0] as Record<string, unknown>;
        return {};
      default:
        return {};
    }
  }

  // deno-lint-ignore require-await -- as above
  async page(
    _id: number,
    _worker: string,
    table: number,
    after: string | null,
    line: (bytes: Uint8Array) => void,
  ): Promise<Page> {
    this.asked.push("export_page");
    this.fault("export_page");
    const all = this.tables[table - 1] ?? [];
    const from = after === null ? 0 : Number(after) + 1;
    const page = all.slice(from, from + 4);
    for (const text of page) line(new TextEncoder().encode(text));
    const end = from + page.length;
    const last = end === 0 ? null : String(end - 1);
    return { rows: page.length, last, more: end < all.length, digest: BigInt(page.length) };
  }

  #store(id: number, facts: Record<string, unknown>) {
    const { kind } = this.announced[id - 1] ?? { kind: "" };
    this.stored.push({ ...facts, ...this.announced[id - 1] });
    const { next } = this.#step;
    if (kind === "rows") {
      const { table = 1, part = 1 } = next;
      if (facts.more === true) {
        return this.#go("rows", { table, part: part + 1, after: facts.last as string });
      }
      return table < this.tables.length
        ? this.#go("rows", { table: table + 1, part: 1, after: null })
        : this.#go("schema", { section: "before", part: 1 });
    }
    if (kind === "schema") {
      return next.part === 1
        ? this.#go("schema", { section: "after", part: 2 })
        : this.#go("sums", {});
    }
    if (kind === "sums") return this.#go("recovery", {});
    return kind === "recovery" ? this.#go("manifest", {}) : this.#go("complete", {});
  }

  #go(stage: Work["stage"], next: Work["next"]) {
    return this.#step = { stage, next };
  }

  /** The manifest, byte by byte. */
  manifest(): string {
    const manifest: Manifest = {
      format: "aimindset-backup/1",
      project_ref: "p",
      backup: "auto-backup",
      backup_id: "b",
      made_at: "2026-11-26T06:00:00Z",
      exported_at: "2026-11-26T06:10:00Z",
      source: { server_version: "17.4" },
      encryption: { recipients: [{ key_id: "00" }] },
      tables: [],
      schema: [],
      restores: [],
      files: [{ kind: "sums", key: "sha256sums.txt" }],
      not_covered: [],
    };
    return JSON.stringify(manifest);
  }
}

interface Setup {
  readonly ledger: FakeLedger;
  readonly bucket: FakeBucket;
  readonly logs: string[];
  readonly work: Work;
  run(): Promise<void>;
}

function setup(changes: Partial<Work> = {}): Setup {
  const ledger = new FakeLedger();
  const bucket = new FakeBucket();
  const logs: string[] = [];
  const work: Work = {
    export: 7,
    destination: "r2",
    endpoint: "https://bucket.test",
    region: "eu-central-1",
    bucket: "copies",
    recipients: [RECIPIENT],
    lock: null,
    verify: "head",
    secrets: { access_key_id: "A", secret_access_key: "B" },
    path: "prod/p/auto-backup/20261126t060000z-b/",
    tables: [{ no: 1, schema: "public", name: "Backup articles" }, {
      no: 2,
      schema: "public",
      name: "backup_comments",
    }],
    limits: { call_raw_bytes: 1e6, part_raw_bytes: 1000, call_ms: 60_000 },
    stage: "freeze",
    next: {},
    ...changes,
  };
  const run = () =>
    runExport({ ...work, ...ledger.step }, {
      ledger,
      s3: bucket.client(),
      worker: "w",
      clean: createCleaner([]),
      now: () => new Date(),
      log: (line) => logs.push(line),
    });
  return { ledger, bucket, logs, work, run };
}

/** Opens an object with OpenSSL. */
async function open(bytes: Uint8Array): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/key.pem`, KEY_PEM);
    await Deno.writeFile(`${folder}/in`, bytes);
    const { success } = await new Deno.Command("openssl", {
      args: [
        "cms",
        "-decrypt",
        "-binary",
        "-inform",
        "DER",
        "-inkey",
        "key.pem",
        "-in",
        "in",
        "-out",
        "out",
      ],
      cwd: folder,
    }).output();
    assert(success);
    return gunzipSync(await Deno.readFile(`${folder}/out`)).toString();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

// The manifest commits, so it comes last, after everything that it names.
Deno.test("a whole export: its objects, their order and their contents", async () => {
  const { ledger, bucket, work, run } = setup();
  await run();
  assert.equal(ledger.step.stage, "complete");
  assert.equal(ledger.failed, null);
  const keys = [...bucket.objects.keys()];
  assert(keys.every((key) => key.startsWith(work.path)));
  const names = keys.map((key) => key.slice(work.path.length).replace(/-[0-9a-f]{16}/, "-S"));
  assert.deepEqual(names, [
    "rows/01-backup_articles/00001-S.ndjson.gz.cms",
    "rows/01-backup_articles/00002-S.ndjson.gz.cms",
    "rows/01-backup_articles/00003-S.ndjson.gz.cms",
    "rows/01-backup_articles/00004-S.ndjson.gz.cms",
    "rows/02-backup_comments/00001-S.ndjson.gz.cms",
    "schema-before-S.sql.gz.cms",
    "schema-after-S.sql.gz.cms",
    "sha256sums-S.txt",
    "recovery-S.md",
    "manifest.json",
  ]);
  const parts = keys.filter((key) => key.includes("/01-"));
  const texts = await Promise.all(
    parts.map((key) => open(bucket.objects.get(key)?.bytes ?? new Uint8Array())),
  );
  assert.equal(texts.join(""), ledger.tables[0]?.map((line) => `${line}\n`).join(""));
  for (const { bytes } of bucket.objects.values()) {
    assert(!new TextDecoder("latin1").decode(bytes).includes(CANARY));
  }
  for (const [i, text] of texts.entries()) {
    const { rows, raw_bytes, raw_sha256, bytes, sha256, digest, more } = ledger.stored[i] ?? {};
    const stored = bucket.objects.get(parts[i] ?? "")?.bytes ?? new Uint8Array();
    assert.deepEqual(
      { rows, raw_bytes, raw_sha256, bytes, sha256, digest, more },
      {
        rows: text.split("\n").length - 1,
        raw_bytes: text.length,
        raw_sha256: createHash("sha256").update(text).digest("hex"),
        bytes: stored.length,
        sha256: createHash("sha256").update(stored).digest("hex"),
        digest: String(text.split("\n").length - 1),
        more: i < 3,
      },
    );
  }
});

// Whoever reads the ledger knows every key that may exist in the bucket.
Deno.test("an object is announced before it is stored, and confirmed afterwards", async () => {
  const { ledger, bucket, work, run } = setup();
  bucket.before = ({ method, key }) => {
    if (method !== "PUT") return null;
    assert.equal(ledger.announced.at(-1)?.key, key.slice(work.path.length));
    assert.equal(ledger.stored.length, ledger.announced.length - 1);
    return null;
  };
  await run();
  assert.equal(ledger.step.stage, "complete");
});

// A call does its share, gives up its claim and lets the database call again.
Deno.test("a call ends after its share of bytes or time", async () => {
  const { ledger, run } = setup({
    limits: { call_raw_bytes: 1500, part_raw_bytes: 1000, call_ms: 60_000 },
  });
  await run();
  assert.deepEqual([ledger.step.stage, ledger.stored.length], ["rows", 2]);
  assert.equal(ledger.asked.at(-1), "export_yield");
  await run();
  assert.equal(ledger.step.stage, "complete");
  assert.equal(ledger.asked.filter((name) => name === "export_yield").length, 1);

  const late = setup({ limits: { call_raw_bytes: 1e6, part_raw_bytes: 1000, call_ms: 0 } });
  await late.run();
  assert.deepEqual(late.ledger.asked, ["export_yield"]);
});

// Wherever a call ends, the next one completes the export, and nothing is stored twice in one place.
Deno.test("a call that dies at any statement is continued", async () => {
  const { ledger, run } = setup();
  await run();
  const total = ledger.asked.length;
  for (let fatal = 1; fatal <= total; fatal++) {
    const { ledger, bucket, run } = setup();
    let count = 0;
    ledger.fault = () => {
      count++;
      if (count >= fatal && count <= fatal + 1) {
        throw new LedgerProblem("offsite_database_lost", "the connection broke", undefined);
      }
    };
    await run();
    assert.notEqual(ledger.step.stage, "complete");
    assert.equal(ledger.failed, null);
    await run();
    assert.equal(ledger.step.stage, "complete", `after a death at call ${fatal}`);
    const confirmed = ledger.stored.map(({ key }) => String(key));
    const announced = ledger.announced.map(({ key }) => key);
    for (const key of bucket.objects.keys()) {
      assert(announced.some((name) => key.endsWith(name)), key);
    }
    assert.equal(confirmed.filter((key) => /manifest/.test(key)).length, 1);
    const places = confirmed.map((key) => key.replace(/-[0-9a-f]{16}/, ""));
    assert.equal(new Set(places).size, places.length);
  }
});

// What the bucket says reaches the ledger as a code, with a text without secrets.
Deno.test("failures are recorded with their codes", async () => {
  for (
    const [status, s3code, code, retry] of [
      [403, "AccessDenied", "offsite_denied", false],
      [404, "NoSuchBucket", "offsite_no_bucket", false],
      [503, "SlowDown", "offsite_slow_down", true],
    ] as const
  ) {
    const { ledger, bucket, run, logs } = setup();
    bucket.before = () => refusal(status, s3code);
    await run();
    assert.deepEqual([ledger.failed?.code, ledger.failed?.retry, ledger.failed?.status], [
      code,
      retry,
      status,
    ]);
    assert.equal(ledger.stored.length, 0);
    assert(logs.some((line) => line.includes(code)));
    assert(!JSON.stringify([ledger.failed, logs]).includes("canary"));
  }
});

// A row that was not stored as it was sent is found at once.
Deno.test("what is stored is verified as far as the destination asks", async () => {
  for (const verify of ["head", "read"] as const) {
    const { ledger, bucket, run } = setup({ verify });
    bucket.after = ({ method, key }) => {
      const object = bucket.objects.get(key);
      if (method === "PUT" && object !== undefined) object.bytes[0] = 0xff;
      return null;
    };
    await run();
    assert.equal(ledger.failed?.code, "offsite_checksum", verify);
  }
  const { ledger, bucket, run } = setup({ verify: "write" });
  await run();
  assert.equal(ledger.step.stage, "complete");
  assert.deepEqual([...new Set(bucket.calls.map(({ method }) => method))], ["PUT"]);
});

// A lock that the bucket did not set is no lock.
Deno.test("locks are asked for and looked at", async () => {
  const lock = { mode: "governance", days: 30 } as const;
  const { ledger, run, bucket } = setup({ lock });
  await run();
  assert.equal(ledger.step.stage, "complete");
  assert([...bucket.objects.values()].every((object) => object.lock === "GOVERNANCE"));
  assert(ledger.stored.every(({ locked_until }) => locked_until === "2099-01-01T00:00:00.000Z"));

  const dropped = setup({ lock });
  dropped.bucket.after = ({ method, key }) => {
    const object = dropped.bucket.objects.get(key);
    if (method === "PUT" && object !== undefined) {
      dropped.bucket.objects.set(key, { bytes: object.bytes, lock: null });
    }
    return null;
  };
  await dropped.run();
  assert.equal(dropped.ledger.failed?.code, "offsite_lock_missing");
});

// A call may die between the storing of the manifest and its record. The next one finds the same
// bytes; what somebody else has put there is not taken for it.
Deno.test("a manifest that exists already", async () => {
  for (const verify of ["write", "head"] as const) {
    const { ledger, bucket, run } = setup({ verify });
    ledger.fault = (name) => {
      const last = ledger.announced.at(-1)?.kind === "manifest";
      if (last && (name === "export_stored" || name === "export_failed")) {
        throw new LedgerProblem("x", "x", undefined);
      }
    };
    await run();
    assert.equal(ledger.step.stage, "manifest");
    const before = bucket.objects.size;
    ledger.fault = () => {};
    await run();
    assert.deepEqual([ledger.step.stage, bucket.objects.size], ["complete", before]);
  }

  // A former manifest without the lock that the destination asks for is not good enough.
  for (
    const [locked, code] of [["GOVERNANCE", undefined], [null, "offsite_lock_missing"]] as const
  ) {
    const lock = { mode: "governance", days: 30 } as const;
    const { ledger, bucket, work, run } = setup({ lock });
    bucket.before = ({ key }) => {
      if (!key.endsWith("manifest.json") || bucket.objects.has(key)) return null;
      const bytes = new TextEncoder().encode(ledger.manifest());
      bucket.objects.set(key, { bytes, lock: locked });
      return null;
    };
    await run();
    assert.equal(ledger.failed?.code, code);
    assert.equal(bucket.objects.get(`${work.path}manifest.json`)?.lock, locked);
  }

  const { ledger, bucket, work, run } = setup();
  bucket.objects.set(`${work.path}manifest.json`, { bytes: new Uint8Array(1), lock: null });
  await run();
  assert.deepEqual([ledger.step.stage, ledger.failed?.code], ["manifest", "offsite_checksum"]);
});

// The ledger ends an export whose rows are gone, and has recorded why; the call adds nothing.
Deno.test("an export that the ledger has ended", async () => {
  const { ledger, bucket, run } = setup();
  ledger.page = () => Promise.reject(new LedgerProblem("offsite_rows_gone", "x", undefined, true));
  await run();
  assert.equal(bucket.objects.size, 0);
  assert.deepEqual(ledger.asked, ["export_freeze"]);
});

// A key that cannot be used is named by its place, and nothing is stored.
Deno.test("a recipient that is not a key", async () => {
  const { ledger, bucket, run } = setup({ recipients: [RECIPIENT, "AAAA"] });
  await run();
  assert.equal(ledger.failed?.code, "offsite_recipient");
  assert.match(String(ledger.failed?.message), /^recipient 2: /);
  assert.equal(bucket.objects.size, 0);
});
