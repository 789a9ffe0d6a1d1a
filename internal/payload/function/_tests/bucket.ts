/**
 * A bucket in memory, for tests of the order of calls. What a real service does is tested with real
 * ones elsewhere.
 */

import { createHash } from "node:crypto";
import { S3 } from "../s3.ts";

/** A stored object. */
export interface StoredObject {
  bytes: Uint8Array;
  readonly lock: string | null;
}

/** A request that reached the bucket. */
export interface BucketCall {
  readonly method: string;
  readonly key: string;
}

export class FakeBucket {
  readonly objects = new Map<string, StoredObject>();
  readonly calls: BucketCall[] = [];
  /** Answers in the bucket's place, or breaks the connection, before (or after) it acts. */
  before: (call: BucketCall) => Response | null = () => null;
  after: (call: BucketCall) => Response | null = () => null;

  /** What reaches the bucket, in the place of the runtime's fetch. */
  readonly fetch = (url: string, init: RequestInit): Promise<Response> => this.#answer(url, init);

  client(now: () => Date = () => new Date()): S3 {
    return new S3({
      endpoint: "https://bucket.test",
      region: "eu-central-1",
      bucket: "copies",
      accessKeyId: "AKIATEST",
      secretAccessKey: "canary-of-the-secret-access-key",
    }, {
      fetch: this.fetch,
      now,
      sleep: () => Promise.resolve(),
      timer: (ms, callback) => {
        const id = setTimeout(callback, ms);
        return () => clearTimeout(id);
      },
    });
  }

  // deno-lint-ignore require-await -- what it throws must reject
  async #answer(url: string, init: RequestInit): Promise<Response> {
    const method = init.method ?? "GET";
    const key = decodeURIComponent(new URL(url).pathname.replace(/^\/copies\/?/, ""));
    const call = { method, key };
    this.calls.push(call);
    const broken = this.before(call);
    if (broken !== null) return broken;
    const response = this.#act(method, key, init);
    return this.after(call) ?? response;
  }

  #act(method: string, key: string, init: RequestInit): Response {
    const headers = new Headers(init.headers);
    const known = this.objects.get(key);
    if (method === "PUT") {
      if (known !== undefined) return refusal(412, "PreconditionFailed");
      const bytes = init.body as Uint8Array;
      const lock = headers.get("x-amz-object-lock-mode");
      this.objects.set(key, { bytes: bytes.slice(), lock });
      return new Response(null, {
        status: 200,
        headers: { etag: '"1"', "x-amz-version-id": "v1" },
      });
    }
    if (known === undefined) return refusal(404, "NoSuchKey");
    if (method === "DELETE") {
      if (known.lock !== null) return refusal(403, "AccessDenied");
      this.objects.delete(key);
      return new Response(null, { status: 204 });
    }
    const digest = createHash("sha256").update(known.bytes).digest("base64");
    return new Response(method === "HEAD" ? null : known.bytes.slice(), {
      status: 200,
      headers: {
        etag: '"1"',
        "content-length": String(known.bytes.length),
        "x-amz-checksum-sha256": digest,
        "x-amz-version-id": "v1",
        ...(known.lock === null ? {} : {
          "x-amz-object-lock-mode": known.lock,
          "x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z",
        }),
      },
    });
  }
}

/** An error in the words of S3. */
export function refusal(status: number, code: string): Response {
  const text = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code></Error>`;
  return new Response(text, { status, headers: { "content-type": "application/xml" } });
}
