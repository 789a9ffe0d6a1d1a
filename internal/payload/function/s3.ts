/**
 * A client of S3 services with what a copy outside the database needs. Buckets are addressed by path.
 * An answer counts as a success only if it has the form of S3's, and no redirect is followed.
 */

import { type Clean, createCleaner } from "./clean.ts";
import contract from "./contract.json" with { type: "json" };
import type { Sleep } from "./log.ts";
import { readBytes } from "./request.ts";
import {
  broken,
  element,
  hasRoot,
  isPage,
  type Place,
  problem,
  refusal,
  type S3Code,
  type S3Problem,
} from "./s3error.ts";
import { EMPTY_SHA256, encodePath, encodeQuery, sha256, signRequest } from "./sigv4.ts";
import type { Fetch, Timer } from "./supabase.ts";
import type { Bytes } from "./token.ts";

export { S3_CODES, type S3Code, type S3Problem } from "./s3error.ts";

/** A bucket and the key to it. */
export interface Destination {
  /** URL of the service, which may have a path. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** What the client needs of its surroundings, and its limits. */
export interface S3Options {
  readonly fetch: Fetch;
  readonly now: () => Date;
  readonly sleep: Sleep;
  readonly timer: Timer;
  /** The longest time of one attempt in milliseconds. The default is 60 seconds. */
  readonly timeoutMs?: number;
  /** The longest time of a call with all its attempts in milliseconds. The default is 100 seconds. */
  readonly totalMs?: number;
}

/** Until when an object cannot be deleted or overwritten, and by whom. */
export interface ObjectLock {
  /** With governance some keys may be allowed to lift the lock, with compliance none is. */
  readonly mode: "governance" | "compliance";
  readonly until: Date;
}

/** How to store an object. */
export interface PutOptions {
  /** The default is application/octet-stream. */
  readonly contentType?: string;
  readonly lock?: ObjectLock | null;
  /** Whether the service checks the digest of what arrives. The default is true. */
  readonly checksum?: boolean;
  /** Whether the call fails if there is an object with this key. The default is true. */
  readonly exclusive?: boolean;
}

/** A stored object. */
export interface Stored {
  /** Size in bytes. */
  readonly size: number;
  /** SHA-256 in lower-case hexadecimal, of the bytes that were sent. */
  readonly sha256: string;
  /** Null if the bucket has no versions, or the answer was lost. */
  readonly versionId: string | null;
  /** Whether an attempt before stored it, whose answer was lost. */
  readonly lost: boolean;
}

/** What the service says about an object. */
export interface Info {
  readonly size: number;
  /** SHA-256 in lower-case hexadecimal, or null if the service does not tell it. */
  readonly sha256: string | null;
  readonly versionId: string | null;
  readonly lock: ObjectLock | null;
}

/** An object and its content. */
export interface Content extends Info {
  readonly bytes: Bytes;
}

/** What an object should be. */
export interface Expected {
  readonly size: number;
  readonly sha256: string;
  readonly lock?: ObjectLock | null;
}

/** The default retention of a bucket with Object Lock. */
export interface LockConfiguration {
  readonly enabled: boolean;
  /** What applies to objects that are stored without a lock of their own, or null. */
  readonly mode: ObjectLock["mode"] | null;
  readonly days: number | null;
}

/** One page of a list. */
export interface Listing {
  readonly objects: readonly { readonly key: string; readonly size: number }[];
  /** Continues after this page, or null if it is the last one. */
  readonly next: string | null;
}

/** Whether the result of a call is a problem. */
export function isS3Problem(result: object): result is S3Problem {
  return "code" in result && "retry" in result;
}

const ATTEMPTS = 3;
const FIRST_PAUSE_MS = 1000;
const TIMEOUT_MS = 60_000;
const TOTAL_MS = 100_000;

/** The largest error, and the largest document about a bucket, in bytes. */
const DOCUMENT_BYTES = 65_536;
/** The largest page of a list. One with 1000 keys of 1024 characters fits. */
const LIST_BYTES = 4 << 20;

/** Problems that another attempt may solve at once. */
const AGAIN: readonly S3Code[] = [
  "offsite_checksum",
  "offsite_conflict",
  "offsite_connection",
  "offsite_server",
  "offsite_slow_down",
  "offsite_timeout",
];

/** Those after which an object may be stored nevertheless. */
const UNCERTAIN: readonly S3Code[] = [
  "offsite_connection",
  "offsite_server",
  "offsite_slow_down",
  "offsite_timeout",
];

interface Call {
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  /** The key of an object, or an empty text for the bucket. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Bytes;
  /** SHA-256 of the body. */
  readonly payload?: string;
  /** The largest body of a success, in bytes. */
  readonly limit: number;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Null if it is too large. */
  readonly bytes: Bytes | null;
}

/** A result, or null if the answer is not that of an S3 service. */
type Read<T> = (answer: Answer) => T | S3Problem | null;

/** One bucket. */
export class S3 {
  readonly #destination: Destination;
  readonly #options: S3Options;
  readonly #endpoint: URL;
  readonly #clean: Clean;

  /** @throws {TypeError} if the endpoint is not an HTTP URL, or has more than a host and a path */
  constructor(destination: Destination, options: S3Options) {
    this.#destination = destination;
    this.#options = options;
    this.#endpoint = new URL(destination.endpoint);
    this.#clean = createCleaner([destination.secretAccessKey]);
    const { protocol, username, password, search, hash } = this.#endpoint;
    if (!/^https?:$/.test(protocol) || username + password + search + hash !== "") {
      throw new TypeError("the endpoint is not a URL with only a host and a path");
    }
  }

  /**
   * Stores an object. If the answer to an attempt was lost, the next one may find the object there:
   * with a key that nobody else uses, it is this call's own.
   */
  async put(key: string, body: Bytes, options: PutOptions = {}): Promise<Stored | S3Problem> {
    const { contentType = "application/octet-stream", lock = null } = options;
    const { checksum = true, exclusive = true } = options;
    const payload = await sha256(body);
    const call: Call = {
      method: "PUT",
      key,
      body,
      payload,
      limit: DOCUMENT_BYTES,
      headers: {
        "content-type": contentType,
        ...(checksum ? { "x-amz-checksum-sha256": base64(payload) } : {}),
        ...(exclusive ? { "if-none-match": "*" } : {}),
        ...(lock === null ? {} : {
          "x-amz-object-lock-mode": lock.mode.toUpperCase(),
          "x-amz-object-lock-retain-until-date": seconds(lock.until),
        }),
      },
    };
    const stored = { size: body.length, sha256: payload };
    const { result, uncertain } = await this.#attempts<Stored>(call, ({ headers }) => {
      if (!headers.has("etag")) return null;
      const arrived = digestOf(headers);
      if (arrived !== null && arrived !== payload) {
        return this.#problem(call, "offsite_checksum", `the service received SHA-256 ${arrived}`);
      }
      return { ...stored, versionId: versionOf(headers), lost: false };
    });
    const own = uncertain && isS3Problem(result) && result.code === "offsite_exists";
    return own ? { ...stored, versionId: null, lost: true } : result;
  }

  /** Asks for what the service knows about an object. */
  head(key: string, versionId: string | null = null): Promise<Info | S3Problem> {
    const call: Call = { method: "HEAD", key, limit: 0, ...about(versionId) };
    return this.#call(call, ({ headers }) => infoOf(headers));
  }

  /** Reads an object that has at most `limit` bytes. */
  get(key: string, limit: number, versionId: string | null = null): Promise<Content | S3Problem> {
    const call: Call = { method: "GET", key, limit, ...about(versionId) };
    return this.#call<Content>(call, ({ headers, bytes }) => {
      if (bytes === null) {
        return this.#problem(call, "offsite_bad_answer", `the object has more than ${limit} bytes`);
      }
      const info = infoOf(headers);
      if (info === null) return null;
      if (info.size === bytes.length) return { ...info, bytes };
      const detail = `${bytes.length} of ${info.size} bytes arrived`;
      return this.#problem(call, "offsite_connection", detail);
    });
  }

  /**
   * Asks whether a stored object is what it should be: its size, its digest if the service tells it,
   * and its lock. Services tell the lock only to keys that may read it.
   */
  async verify(
    key: string,
    expected: Expected,
    versionId: string | null = null,
  ): Promise<Info | S3Problem> {
    const info = await this.head(key, versionId);
    return isS3Problem(info) ? info : this.#compare("HEAD", info, expected) ?? info;
  }

  /** Does what verify does, and reads the object to compare all of it. */
  async verifyContent(
    key: string,
    expected: Expected,
    versionId: string | null = null,
  ): Promise<Info | S3Problem> {
    const info = await this.verify(key, expected, versionId);
    if (isS3Problem(info)) return info;
    const content = await this.get(key, expected.size, versionId ?? info.versionId);
    if (isS3Problem(content)) return content;
    const read = { ...info, size: content.size, sha256: await sha256(content.bytes) };
    return this.#compare("GET", read, expected) ?? read;
  }

  /** Deletes an object or, with a version ID, this version of it for ever. */
  delete(key: string, versionId: string | null = null): Promise<null | S3Problem> {
    const call: Call = { method: "DELETE", key, limit: DOCUMENT_BYTES, ...about(versionId) };
    return this.#call<{ done: true }>(
      call,
      ({ status, bytes }) => status === 204 || bytes?.length === 0 ? { done: true } : null,
    ).then((result) => isS3Problem(result) ? result : null);
  }

  /** Asks whether the bucket has Object Lock. Without it, the problem is offsite_lock_missing. */
  lockConfiguration(): Promise<LockConfiguration | S3Problem> {
    const query = { "object-lock": "" };
    return this.#document(query, "ObjectLockConfiguration", DOCUMENT_BYTES, (xml) => {
      const mode = element(xml, "Mode")?.toLowerCase();
      const years = count(element(xml, "Years"));
      return {
        enabled: element(xml, "ObjectLockEnabled") === "Enabled",
        mode: mode === "governance" || mode === "compliance" ? mode : null,
        days: count(element(xml, "Days")) ?? (years === null ? null : years * 365),
      };
    });
  }

  /** Asks whether the bucket keeps versions. */
  versioning(): Promise<{ readonly enabled: boolean } | S3Problem> {
    const query = { "versioning": "" };
    return this.#document(query, "VersioningConfiguration", DOCUMENT_BYTES, (xml) => {
      return { enabled: element(xml, "Status") === "Enabled" };
    });
  }

  /** Lists at most 1000 objects whose keys begin with a prefix, sorted by key. */
  list(prefix: string, next: string | null = null, most = 1000): Promise<Listing | S3Problem> {
    const query = {
      "list-type": "2",
      prefix,
      "max-keys": String(most),
      ...(next === null ? {} : { "continuation-token": next }),
    };
    return this.#document(query, "ListBucketResult", LIST_BYTES, listing);
  }

  /** Reads an XML document about the bucket. */
  #document<T extends object>(
    query: Readonly<Record<string, string>>,
    root: string,
    limit: number,
    read: (xml: string) => T | null,
  ): Promise<T | S3Problem> {
    return this.#call({ method: "GET", key: "", limit, query }, ({ bytes }) => {
      const xml = new TextDecoder().decode(bytes ?? new Uint8Array());
      return hasRoot(xml, root) ? read(xml) : null;
    });
  }

  async #call<T extends object>(call: Call, read: Read<T>): Promise<T | S3Problem> {
    return (await this.#attempts(call, read)).result;
  }

  /**
   * Sends a request, a few times if it fails for a reason that may pass. It is uncertain if an
   * attempt before the last one may have succeeded.
   */
  async #attempts<T extends object>(
    call: Call,
    read: Read<T>,
  ): Promise<{ readonly result: T | S3Problem; readonly uncertain: boolean }> {
    const { now, sleep, timeoutMs = TIMEOUT_MS, totalMs = TOTAL_MS } = this.#options;
    const giveUp = now().getTime() + totalMs;
    let uncertain = false;
    for (let attempt = 1;; attempt++) {
      const left = Math.max(1, Math.min(timeoutMs, giveUp - now().getTime()));
      const [result, final] = await this.#attempt(call, read, left);
      if (final || !isS3Problem(result) || !AGAIN.includes(result.code)) {
        return { result, uncertain };
      }
      const pause = Math.max(FIRST_PAUSE_MS * 2 ** (attempt - 1), result.retryAfterMs ?? 0);
      if (attempt === ATTEMPTS || now().getTime() + pause >= giveUp) return { result, uncertain };
      uncertain ||= UNCERTAIN.includes(result.code);
      await sleep(pause);
    }
  }

  /** Sends a request once. Returns its result, and whether it is not to be sent again. */
  async #attempt<T extends object>(
    call: Call,
    read: Read<T>,
    timeoutMs: number,
  ): Promise<[T | S3Problem, boolean]> {
    const abort = new AbortController();
    const cancel = this.#options.timer(timeoutMs, () => abort.abort());
    try {
      const { status, headers, bytes } = await this.#send(call, abort.signal);
      const success = status === 200 || status === 204;
      const result = success ? read({ status, headers, bytes }) : null;
      if (result !== null) return [result, isS3Problem(result) && call.method === "PUT"];
      const text = bytes === null
        ? null
        : new TextDecoder().decode(bytes.subarray(0, DOCUMENT_BYTES));
      if (!success) return [refusal(this.#place(call), { status, headers, text }), false];
      const code = isPage(headers, text) ? "offsite_proxy" : "offsite_bad_answer";
      const detail = `HTTP ${status}, not an answer of S3`;
      return [problem(this.#place(call), code, detail, { status }), false];
    } catch (error) {
      if (!abort.signal.aborted) return [broken(this.#place(call), error), false];
      const detail = `no complete answer within ${timeoutMs / 1000} s`;
      return [this.#problem(call, "offsite_timeout", detail), false];
    } finally {
      cancel();
    }
  }

  async #send(call: Call, signal: AbortSignal): Promise<Answer> {
    const { bucket } = this.#destination;
    const { method, key, query = {}, body = null, payload = EMPTY_SHA256, limit } = call;
    const { origin, host, pathname } = this.#endpoint;
    const path = `${pathname.replace(/\/+$/, "")}/${
      encodePath(key === "" ? bucket : `${bucket}/${key}`)
    }`;
    const signed = await signRequest(
      {
        method,
        host,
        path,
        query,
        payload,
        headers: { ...call.headers, "x-amz-content-sha256": payload },
      },
      { ...this.#destination, service: "s3" },
      this.#options.now(),
    );
    const search = encodeQuery(query);
    const response = await this.#options.fetch(
      `${origin}${path}${search === "" ? "" : `?${search}`}`,
      {
        method,
        headers: {
          ...signed,
          // Sizes and digests are those of the stored bytes.
          "accept-encoding": "identity",
          "user-agent": `auto-backup/${contract.function_version}`,
        },
        body,
        // A redirect would send the signature to another host.
        redirect: "manual",
        signal,
      },
    );
    const { status, headers } = response;
    const most = status === 200 ? limit : DOCUMENT_BYTES;
    return { status, headers, bytes: await readBytes(response.body, most) };
  }

  /** Compares what is stored with what should be. Returns null if they are the same. */
  #compare(
    method: Call["method"],
    info: Info,
    expected: Expected,
  ): S3Problem | null {
    const call = { method };
    if (info.size !== expected.size) {
      const detail = `the object has ${info.size} bytes, ${expected.size} were sent`;
      return this.#problem(call, "offsite_checksum", detail);
    }
    if (info.sha256 !== null && info.sha256 !== expected.sha256) {
      return this.#problem(call, "offsite_checksum", `the object's SHA-256 is ${info.sha256}`);
    }
    const { lock = null } = expected;
    if (lock === null) return null;
    if (info.lock === null) {
      return this.#problem(
        call,
        "offsite_lock_missing",
        "the service tells of no lock of the object",
      );
    }
    // Headers have whole seconds.
    const early = info.lock.until.getTime() < Math.floor(lock.until.getTime() / 1000) * 1000;
    const weak = lock.mode === "compliance" && info.lock.mode !== "compliance";
    if (!early && !weak) return null;
    const detail =
      `the object is locked in mode ${info.lock.mode} until ${seconds(info.lock.until)}, ` +
      `not in mode ${lock.mode} until ${seconds(lock.until)}`;
    return this.#problem(call, "offsite_lock_missing", detail);
  }

  #problem(call: Pick<Call, "method">, code: S3Code, detail: string): S3Problem {
    return problem(this.#place(call), code, detail);
  }

  #place({ method }: Pick<Call, "method">): Place {
    const { bucket, region } = this.#destination;
    const call = `${method} in bucket "${bucket}" at ${this.#endpoint.host}`;
    return { call, region, now: this.#options.now(), clean: this.#clean };
  }
}

function about(versionId: string | null): Pick<Call, "query" | "headers"> {
  return {
    ...(versionId === null ? {} : { query: { versionId } }),
    headers: { "x-amz-checksum-mode": "ENABLED" },
  };
}

function infoOf(headers: Headers): Info | null {
  const size = count(headers.get("content-length"));
  if (size === null || !headers.has("etag")) return null;
  const mode = headers.get("x-amz-object-lock-mode")?.toLowerCase();
  const until = new Date(headers.get("x-amz-object-lock-retain-until-date") ?? NaN);
  const locked = (mode === "governance" || mode === "compliance") && !Number.isNaN(until.getTime());
  return {
    size,
    sha256: digestOf(headers),
    versionId: versionOf(headers),
    lock: locked ? { mode, until } : null,
  };
}

/** The SHA-256 of the whole object. One of its parts' digests has a suffix. */
function digestOf(headers: Headers): string | null {
  const digest = headers.get("x-amz-checksum-sha256") ?? "";
  if (!/^[A-Za-z0-9+/]{43}=$/.test(digest)) return null;
  return Array.from(atob(digest), (character) => {
    return character.charCodeAt(0).toString(16).padStart(2, "0");
  }).join("");
}

function versionOf(headers: Headers): string | null {
  const version = headers.get("x-amz-version-id") ?? "";
  // Buckets whose versions are suspended call theirs null.
  return /^[\x21-\x7e]{1,1024}$/.test(version) && version !== "null" ? version : null;
}

function listing(xml: string): Listing | null {
  const objects: { key: string; size: number }[] = [];
  let from = 0;
  for (;;) {
    const start = xml.indexOf("<Contents>", from);
    if (start < 0) break;
    const end = xml.indexOf("</Contents>", start);
    const entry = end < 0 ? "" : xml.slice(start, end);
    const key = element(entry, "Key");
    const size = count(element(entry, "Size"));
    if (key === null || size === null) return null;
    objects.push({ key, size });
    from = end;
  }
  const more = element(xml, "IsTruncated") === "true";
  return { objects, next: more ? element(xml, "NextContinuationToken") : null };
}

/** A number in decimal digits, or null. */
function count(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** A time in RFC 3339 with whole seconds. */
function seconds(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, "Z");
}

function base64(hexadecimal: string): string {
  const pairs = hexadecimal.match(/../g) ?? [];
  return btoa(String.fromCharCode(...pairs.map((pair) => parseInt(pair, 16))));
}
