/**
 * One call of an off-site copy: reads rows of a stored backup, seals them to the public keys of the
 * destination, and stores them in its bucket. The ledger in the database says what comes next and
 * remembers every object, so a call may end anywhere: the next one continues. The manifest is stored
 * last, and without it there is no copy.
 */

import { gzipSync } from "node:zlib";
import type { Clean } from "./clean.ts";
import { readRecipient, type Recipient, seal } from "./cms.ts";
import { type LedgerCalls, LedgerProblem, type Page } from "./ledger.ts";
import { type Manifest, recoveryText } from "./recovery.ts";
import { isS3Problem, type ObjectLock, type S3, type S3Problem } from "./s3.ts";
import { sha256 } from "./sigv4.ts";
import type { Bytes } from "./token.ts";

/** A destination, as the settings in the database describe it. */
export interface Target {
  readonly destination: string;
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** The public keys, as base64 of DER SubjectPublicKeyInfo. */
  readonly recipients: readonly string[];
  readonly lock: { readonly mode: "governance" | "compliance"; readonly days: number } | null;
  /** How an object is verified after it was stored: by the answer, by HEAD, or by reading it back. */
  readonly verify: "write" | "head" | "read";
  /** The function secrets with the credentials of the bucket. */
  readonly secrets: { readonly access_key_id: string; readonly secret_access_key: string };
}

/** What comes next of an export. */
interface Step {
  readonly stage: "freeze" | "rows" | "schema" | "sums" | "recovery" | "manifest" | "complete";
  readonly next: {
    readonly table?: number;
    readonly part?: number;
    readonly after?: string | null;
    readonly section?: "before" | "after";
  };
}

/** What export_claim returns. */
export interface Work extends Target, Step {
  readonly export: number;
  /** What the keys of all objects begin with. */
  readonly path: string;
  readonly tables: readonly {
    readonly no: number;
    readonly schema: string;
    readonly name: string;
  }[];
  readonly limits: {
    /** How many bytes of rows a call reads, and an object has, before compression. */
    readonly call_raw_bytes: number;
    readonly part_raw_bytes: number;
    /** How long a call begins new parts, in milliseconds. */
    readonly call_ms: number;
  };
}

/** What an export needs. */
export interface ExportContext {
  readonly ledger: LedgerCalls;
  readonly s3: S3;
  readonly worker: string;
  readonly clean: Clean;
  readonly now: () => Date;
  /** Writes one line to the function's own log. */
  readonly log: (line: string) => void;
}

/** An object to store. */
interface Item {
  readonly kind: "rows" | "schema" | "sums" | "recovery" | "manifest";
  readonly key: string;
  readonly body: Bytes;
  readonly contentType: string;
  /** What the ledger is told of the object beside what storing it shows. */
  readonly facts: Record<string, unknown>;
  readonly table?: number;
  readonly part?: number;
}

/** A failure that the ledger records. */
class Failure extends Error {
  constructor(readonly code: string, message: string, readonly more: Record<string, unknown> = {}) {
    super(message);
  }
}

const DAY = 86_400_000;

/** Compression of this level takes half the time of the usual one, and the result is 2 % larger. */
const GZIP_LEVEL = 3;

const SEALED_TYPE = "application/cms";

/** Does the work of one call. It never rejects: what fails is recorded in the ledger. */
export async function runExport(work: Work, context: ExportContext): Promise<void> {
  const { ledger, worker, clean, log } = context;
  const name = `export ${work.export} to ${work.destination}`;
  try {
    const complete = await new Call(work, context).run();
    if (!complete) await ledger.call("export_yield", work.export, worker);
    log(`${name}: ${complete ? "complete" : "continued by the next call"}`);
  } catch (error) {
    const failure = asFailure(error, clean);
    log(`${name}: ${failure.code}: ${failure.message}`);
    if (error instanceof LedgerProblem && error.recorded) return;
    const problem = { code: failure.code, message: failure.message, ...failure.more };
    // Where the database is lost, the claim expires, and the watchdog calls again.
    await ledger.call("export_failed", work.export, worker, problem).catch((lost) =>
      log(`${name}: this could not be recorded: ${clean(lost)}`)
    );
  }
}

class Call {
  readonly #work: Work;
  readonly #context: ExportContext;
  readonly #until: number;
  #recipients: readonly Recipient[] = [];
  /** How many bytes of rows this call has read. */
  #raw = 0;
  /** The rows of a part. All parts use the same memory, which the runtime would free late. */
  readonly #rows: Buffer;

  constructor(work: Work, context: ExportContext) {
    this.#work = work;
    this.#context = context;
    this.#until = context.now().getTime() + work.limits.call_ms;
    this.#rows = new Buffer(work.limits.part_raw_bytes);
  }

  /** Stores what comes next until the export is complete (true) or the call has done its share. */
  async run(): Promise<boolean> {
    this.#recipients = await readRecipients(this.#work.recipients);
    let step: Step = this.#work;
    while (step.stage !== "complete") {
      if (this.#isFull()) return false;
      step = await this.#advance(step);
    }
    return true;
  }

  #isFull(): boolean {
    const { limits } = this.#work;
    return this.#raw >= limits.call_raw_bytes || this.#context.now().getTime() >= this.#until;
  }

  async #advance({ stage, next }: Step): Promise<Step> {
    switch (stage) {
      case "freeze":
        return await this.#ask("export_freeze") as Step;
      case "rows":
        return await this.#storeRows(next.table ?? 0, next.part ?? 1, next.after ?? null);
      case "schema":
        return await this.#storeSchema(next.section ?? "before", next.part ?? 1);
      case "sums":
        return await this.#storeText("sums", `sha256sums-${suffix()}.txt`, "text/plain");
      case "recovery":
        return await this.#storeText("recovery", `recovery-${suffix()}.md`, "text/markdown");
      default:
        return await this.#storeManifest();
    }
  }

  #ask(name: Parameters<LedgerCalls["call"]>[0], ...values: (string | Record<string, unknown>)[]) {
    const { ledger, worker } = this.#context;
    return ledger.call(name, this.#work.export, worker, ...values);
  }

  async #storeRows(no: number, part: number, from: string | null): Promise<Step> {
    const { ledger, worker } = this.#context;
    const { tables, limits } = this.#work;
    const raw = this.#rows;
    raw.size = 0;
    let page: Page = { rows: 0, last: from, more: true, digest: 0n };
    let rows = 0;
    let digest = 0n;
    while (page.more && raw.size < limits.part_raw_bytes) {
      page = await ledger.page(this.#work.export, worker, no, page.last, (line) => raw.add(line));
      rows += page.rows;
      digest += page.digest;
    }
    this.#raw += raw.size;
    const table = tables.find((other) => other.no === no);
    const folder = `${digits(no, 2)}-${plainName(table?.name ?? "")}`;
    return await this.#storeSealed({
      kind: "rows",
      key: `rows/${folder}/${digits(part, 5)}-${suffix()}.ndjson.gz.cms`,
      table: no,
      part,
      facts: { rows, digest: String(digest), last: page.last, more: page.more },
    }, raw.bytes());
  }

  async #storeSchema(section: "before" | "after", part: number): Promise<Step> {
    const text = asText(await this.#ask("export_schema", section));
    return await this.#storeSealed({
      kind: "schema",
      key: `schema-${section}-${suffix()}.sql.gz.cms`,
      part,
      facts: {},
    }, new TextEncoder().encode(text));
  }

  async #storeSealed(
    item: Omit<Item, "body" | "contentType">,
    raw: Bytes,
  ): Promise<Step> {
    const body = await seal(toBytes(gzipSync(raw, { level: GZIP_LEVEL })), this.#recipients);
    const facts = { ...item.facts, raw_bytes: raw.length, raw_sha256: await sha256(raw) };
    return await this.#store({ ...item, body, contentType: SEALED_TYPE, facts });
  }

  async #storeText(kind: "sums" | "recovery", key: string, contentType: string): Promise<Step> {
    const text = kind === "sums"
      ? asText(await this.#ask("export_sums"))
      : recoveryText(JSON.parse(asText(await this.#ask("export_manifest"))) as Manifest);
    const body = new TextEncoder().encode(text);
    return await this.#store({
      kind,
      key,
      body,
      contentType: `${contentType}; charset=utf-8`,
      facts: {},
    });
  }

  /** Stores the manifest, which is the same however often it is asked for. */
  async #storeManifest(): Promise<Step> {
    const body = new TextEncoder().encode(asText(await this.#ask("export_manifest")));
    return await this.#store({
      kind: "manifest",
      key: "manifest.json",
      body,
      contentType: "application/json",
      facts: {},
    });
  }

  /** Announces an object to the ledger, stores and verifies it, and tells the ledger. */
  async #store({ kind, key, table, part, body, contentType, facts }: Item): Promise<Step> {
    const { s3, now } = this.#context;
    const { path, verify } = this.#work;
    const announced = { kind, table_no: table ?? null, part: part ?? null, key };
    const id = await this.#ask("export_announce", announced);
    const lock = lockOf(this.#work.lock, now());
    const size = body.length;
    const digest = await sha256(body);
    const stored = await s3.put(path + key, body, { contentType, lock });
    // A call that died may have stored the manifest. It is looked at, because anybody with the
    // credentials can have stored something else under this name.
    const former = isS3Problem(stored) && kind === "manifest" && stored.code === "offsite_exists";
    if (isS3Problem(stored) && !former) throw failureOf(stored);
    // The lock of a former one ends earlier.
    const expected = {
      size,
      sha256: digest,
      lock: former && lock !== null ? { ...lock, until: now() } : lock,
    };
    const found = verify === "read" || former
      ? await s3.verifyContent(path + key, expected)
      : verify === "head"
      ? await s3.verify(path + key, expected)
      : null;
    if (found !== null && isS3Problem(found)) {
      const unreadable = former && verify === "write" && found.code === "offsite_denied";
      if (!unreadable) throw failureOf(found);
    }
    const info = found === null || isS3Problem(found) ? null : found;
    const versionId = isS3Problem(stored) ? null : stored.versionId;
    return await this.#ask("export_stored", String(id), {
      ...facts,
      bytes: size,
      sha256: digest,
      version_id: versionId ?? info?.versionId ?? null,
      locked_until: (info?.lock ?? (former ? null : lock))?.until.toISOString() ?? null,
      verified: verify,
    }) as Step;
  }
}

/** Lines of NDJSON, in one piece of memory that grows. */
class Buffer {
  #bytes: Bytes;
  size = 0;

  constructor(expected: number) {
    this.#bytes = new Uint8Array(Math.ceil(expected * 1.25));
  }

  add(line: Uint8Array): void {
    const end = this.size + line.length + 1;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.bytes());
      this.#bytes = larger;
    }
    this.#bytes.set(line, this.size);
    this.#bytes[end - 1] = 10;
    this.size = end;
  }

  bytes(): Bytes {
    return this.#bytes.subarray(0, this.size);
  }
}

/** When a lock that begins now ends. */
function lockOf(lock: Target["lock"], now: Date): ObjectLock | null {
  if (lock === null) return null;
  // S3 keeps whole seconds.
  const until = new Date(Math.ceil((now.getTime() + lock.days * DAY) / 1000) * 1000);
  return { mode: lock.mode, until };
}

async function readRecipients(keys: readonly string[]): Promise<readonly Recipient[]> {
  const read = await Promise.all(keys.map(readRecipient));
  return read.map((recipient, i) => {
    if (typeof recipient !== "string") return recipient;
    throw new Failure("offsite_recipient", `recipient ${i + 1}: ${recipient}`);
  });
}

function failureOf({ code, message, status, retry, retryAfterMs }: S3Problem): Failure {
  return new Failure(code, message, {
    retry,
    ...(status === undefined ? {} : { status }),
    ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
  });
}

function asFailure(error: unknown, clean: Clean): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof LedgerProblem) {
    const { code, message, sqlstate } = error;
    return new Failure(code, message, {
      retry: true,
      ...(sqlstate === undefined ? {} : { sqlstate }),
    });
  }
  return new Failure("offsite_internal", clean(error), { retry: true });
}

/** What makes the key of an object unique: 64 random bits. */
function suffix(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A name in the characters that every kind of storage takes in a key. */
function plainName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9_]/g, "_").slice(0, 60);
}

function digits(number: number, width: number): string {
  return String(number).padStart(width, "0");
}

function asText(value: unknown): string {
  if (typeof value !== "string") {
    throw new Failure("offsite_internal", "the ledger returned no text");
  }
  return value;
}

function toBytes(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
}
