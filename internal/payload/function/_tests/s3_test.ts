/**
 * The client of S3 services against servers on this machine: every way in which a destination can
 * fail, what is sent, what is tried again, and how stored objects are compared.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import codes from "../codes.json" with { type: "json" };
import contract from "../contract.json" with { type: "json" };
import {
  isS3Problem,
  type ObjectLock,
  S3,
  S3_CODES,
  type S3Code,
  type S3Options,
  type S3Problem,
} from "../s3.ts";
import { element, hasRoot } from "../s3error.ts";
import { EMPTY_SHA256, sha256 } from "../sigv4.ts";
import {
  type Answer,
  hang,
  KEY_ID,
  NOW,
  plain,
  raw,
  s3Error,
  SECRET,
  send,
  withServer,
} from "./s3_server.ts";

const BODY = new TextEncoder().encode("the content of an object");
const SHA256 = await sha256(BODY);
const DIGEST = Buffer.from(SHA256, "hex").toString("base64");
const ETAG = { etag: '"9a0364b9e99bb480dd25e1f0284c8555"' };
const OK = plain(200, "", ETAG);
const PAGE = "<!DOCTYPE html>\n<html><body>Please log in</body></html>";
const UNTIL = new Date("2026-12-27T06:00:00.750Z");

function assertProblem(result: object | null): asserts result is S3Problem {
  assert(result !== null && isS3Problem(result), JSON.stringify(result));
}

function assertDone<T extends object>(result: T | S3Problem): asserts result is T {
  assert(!isS3Problem(result), JSON.stringify(result));
}

interface Case {
  readonly name: string;
  readonly answer: Answer;
  readonly code: S3Code;
  /** What the message says after the call. */
  readonly message: RegExp;
  /** Which call (default: put). */
  readonly call?: (s3: S3) => Promise<object | null>;
  readonly retry?: true;
  /** How many attempts were made (default: 1). */
  readonly attempts?: number;
  readonly status?: number;
  readonly s3code?: string;
}

const head = (s3: S3) => s3.head("k");
const get = (s3: S3) => s3.get("k", 100);
const AGAIN = { retry: true, attempts: 3 } as const;

/** What servers answer, each with its code. Most texts are those of real services. */
const CASES: readonly Case[] = [
  {
    name: "an unknown access key",
    answer: s3Error(
      403,
      "InvalidAccessKeyId",
      "The AWS Access Key Id you provided does not exist in our records.",
      `<AWSAccessKeyId>${KEY_ID}</AWSAccessKeyId>`,
    ),
    code: "offsite_key_unknown",
    message: /^HTTP 403 InvalidAccessKeyId \(request 4442587FB7D0A2F9\): The AWS Access Key Id /,
    status: 403,
    s3code: "InvalidAccessKeyId",
  },
  {
    name: "an access key of another length (R2)",
    answer: s3Error(400, "InvalidArgument", "Credential access key has length 16, should be 32"),
    code: "offsite_key_unknown",
    message: /has length 16, should be 32$/,
  },
  {
    name: "a malformed access key",
    answer: s3Error(
      400,
      "AuthorizationHeaderMalformed",
      "The authorization header is malformed; the Credential is mal-formed",
    ),
    code: "offsite_key_unknown",
    message: /the Credential is mal-formed$/,
  },
  {
    name: "an unknown user (versitygw)",
    answer: s3Error(404, "XAdminUserNotFound", "No user exists with the provided access key ID."),
    code: "offsite_key_unknown",
    message: /^HTTP 404 XAdminUserNotFound /,
  },
  {
    name: "a wrong secret",
    answer: s3Error(
      403,
      "SignatureDoesNotMatch",
      "The request signature we calculated does not match the signature you provided.",
      "<StringToSign>AWS4-HMAC-SHA256</StringToSign>",
    ),
    code: "offsite_signature",
    message: /^HTTP 403 SignatureDoesNotMatch /,
  },
  {
    name: "a policy",
    answer: s3Error(403, "AccessDenied", "Access Denied"),
    code: "offsite_denied",
    message: /^HTTP 403 AccessDenied \(request 4442587FB7D0A2F9\): Access Denied$/,
  },
  {
    name: "a policy, asked with HEAD",
    answer: plain(403, "", { "x-amz-request-id": "tx-1" }),
    call: head,
    code: "offsite_denied",
    message: /^HTTP 403 \(request tx-1\)$/,
  },
  {
    name: "401 (R2)",
    answer: s3Error(401, "Unauthorized", "Unauthorized"),
    code: "offsite_denied",
    message: /^HTTP 401 Unauthorized /,
  },
  {
    name: "a bucket that does not exist",
    answer: s3Error(404, "NoSuchBucket", "The specified bucket does not exist"),
    code: "offsite_no_bucket",
    message: /^HTTP 404 NoSuchBucket /,
  },
  {
    name: "a name that no bucket can have",
    answer: s3Error(400, "InvalidBucketName", "The specified bucket is not valid."),
    code: "offsite_no_bucket",
    message: /^HTTP 400 InvalidBucketName /,
  },
  {
    name: "a bucket at another endpoint",
    answer: s3Error(
      301,
      "PermanentRedirect",
      "The bucket must be addressed using the specified endpoint.",
      "<Endpoint>b.s3-us-west-2.amazonaws.com</Endpoint>",
    ),
    code: "offsite_region",
    message: /^HTTP 301 PermanentRedirect .*, use the endpoint b\.s3-us-west-2\.amazonaws\.com: /,
    status: 301,
  },
  {
    name: "a bucket in another region, asked with HEAD",
    answer: plain(301, "", { "x-amz-bucket-region": "eu-central-1" }),
    call: head,
    code: "offsite_region",
    message: /^HTTP 301, use region "eu-central-1" instead of "eu-west-1"$/,
  },
  {
    name: "a new bucket that is still redirected",
    answer: s3Error(307, "TemporaryRedirect", "Please re-send this request", "", {
      location: "https://b.s3-eu-central-1.amazonaws.com/k?X-Amz-Signature=abc",
    }),
    code: "offsite_region",
    message: /, use the endpoint b\.s3-eu-central-1\.amazonaws\.com: /,
  },
  {
    name: "a wrong region in the signature",
    answer: s3Error(
      400,
      "AuthorizationHeaderMalformed",
      "The authorization header is malformed; the region 'eu-west-1' is wrong",
      "<Region>eu-central-1</Region>",
    ),
    code: "offsite_region",
    message: /, use region "eu-central-1" instead of "eu-west-1": /,
  },
  {
    name: "a region that the service does not have (R2)",
    answer: s3Error(400, "InvalidRegionName", "The region name 'eu-west-1' is not valid."),
    code: "offsite_region",
    message: /^HTTP 400 InvalidRegionName \(request \w+\): The region name /,
  },
  {
    name: "a clock that is late, by the service's XML",
    answer: s3Error(
      403,
      "RequestTimeTooSkewed",
      "The difference between the request time and the current time is too large.",
      "<ServerTime>2026-11-27T06:20:00Z</ServerTime>",
    ),
    code: "offsite_clock",
    message: /, the function's clock is 1200 s behind the service's: /,
  },
  {
    name: "a clock that is early, by the header Date",
    answer: s3Error(403, "RequestTimeTooSkewed", "Too large.", "", {
      date: "Fri, 27 Nov 2026 05:00:00 GMT",
    }),
    code: "offsite_clock",
    message: /, the function's clock is 3600 s ahead of the service's: Too large\.$/,
  },
  {
    name: "a clock that differs by nobody knows how much",
    answer: s3Error(403, "RequestTimeTooSkewed", "Too large."),
    code: "offsite_clock",
    message: /^HTTP 403 RequestTimeTooSkewed \(request \w+\): Too large\.$/,
  },
  {
    name: "an object with this key",
    answer: s3Error(412, "PreconditionFailed", "At least one of the pre-conditions did not hold"),
    code: "offsite_exists",
    message: /^HTTP 412 PreconditionFailed /,
    status: 412,
  },
  {
    name: "two calls at once",
    answer: s3Error(409, "ConditionalRequestConflict", "Please re-try."),
    code: "offsite_conflict",
    message: /^HTTP 409 ConditionalRequestConflict /,
    ...AGAIN,
  },
  {
    name: "409 without words",
    answer: plain(409),
    code: "offsite_conflict",
    message: /^HTTP 409$/,
    ...AGAIN,
  },
  {
    name: "a bucket without Object Lock",
    answer: s3Error(400, "InvalidRequest", "Bucket is missing Object Lock Configuration"),
    code: "offsite_lock_missing",
    message: /^HTTP 400 InvalidRequest /,
  },
  {
    name: "a bucket without Object Lock (MinIO, versitygw)",
    answer: s3Error(400, "InvalidRequest", "Bucket is missing ObjectLockConfiguration"),
    code: "offsite_lock_missing",
    message: /ObjectLockConfiguration$/,
  },
  {
    name: "no configuration of Object Lock",
    answer: s3Error(404, "ObjectLockConfigurationNotFoundError", "Object Lock does not exist"),
    call: (s3) => s3.lockConfiguration(),
    code: "offsite_lock_missing",
    message: /^HTTP 404 ObjectLockConfigurationNotFoundError /,
  },
  {
    name: "a lock that has ended",
    answer: s3Error(400, "InvalidArgument", "The retain until date must be in the future!"),
    code: "offsite_lock_refused",
    message: /must be in the future!$/,
  },
  {
    name: "no right to lock",
    answer: s3Error(
      403,
      "AccessDenied",
      "User: u is not authorized to perform: s3:PutObjectRetention on resource",
    ),
    code: "offsite_lock_refused",
    message: /s3:PutObjectRetention/,
  },
  {
    name: "the deletion of a locked version",
    answer: s3Error(403, "AccessDenied", "Access Denied because object protected by object lock."),
    call: (s3) => s3.delete("k", "v1"),
    code: "offsite_locked",
    message: /protected by object lock\.$/,
  },
  {
    name: "the deletion of a locked version (MinIO)",
    answer: s3Error(400, "ObjectLocked", "Object is WORM protected and cannot be overwritten"),
    call: (s3) => s3.delete("k", "v1"),
    code: "offsite_locked",
    message: /^HTTP 400 ObjectLocked /,
  },
  {
    name: "other bytes than those of the digest",
    answer: s3Error(400, "BadDigest", "The SHA256 you specified did not match"),
    code: "offsite_checksum",
    message: /^HTTP 400 BadDigest /,
    ...AGAIN,
  },
  {
    name: "another digest of a success",
    answer: plain(200, "", { ...ETAG, "x-amz-checksum-sha256": "A".repeat(43) + "=" }),
    code: "offsite_checksum",
    message: /^the service received SHA-256 0000/,
    // It is stored: another attempt would find it there.
    retry: true,
  },
  {
    name: "a checksum header that the service does not take",
    answer: s3Error(400, "InvalidRequest", "Value for x-amz-checksum-sha256 header is invalid."),
    code: "offsite_checksum",
    message: /header is invalid\.$/,
    ...AGAIN,
  },
  {
    name: "a quota (Ceph)",
    answer: s3Error(403, "QuotaExceeded", ""),
    code: "offsite_quota",
    message: /^HTTP 403 QuotaExceeded \(request \w+\)$/,
  },
  {
    name: "a cap (B2)",
    answer: s3Error(403, "AccessDenied", "Cannot upload files, storage cap exceeded."),
    code: "offsite_quota",
    message: /storage cap exceeded\.$/,
  },
  {
    name: "full disks",
    answer: plain(507, "Insufficient Storage"),
    code: "offsite_quota",
    message: /^HTTP 507$/,
  },
  {
    name: "SlowDown",
    answer: s3Error(503, "SlowDown", "Please reduce your request rate."),
    code: "offsite_slow_down",
    message: /^HTTP 503 SlowDown /,
    ...AGAIN,
  },
  {
    name: "429",
    answer: plain(429, "slow"),
    code: "offsite_slow_down",
    message: /^HTTP 429$/,
    ...AGAIN,
  },
  {
    name: "an internal error",
    answer: s3Error(500, "InternalError", "We encountered an internal error. Please try again."),
    code: "offsite_server",
    message: /^HTTP 500 InternalError /,
    ...AGAIN,
  },
  {
    name: "a broken gateway",
    answer: plain(502, PAGE, { "content-type": "text/html" }),
    code: "offsite_server",
    message: /^HTTP 502$/,
    ...AGAIN,
  },
  {
    name: "503 of a load balancer",
    answer: plain(503, "no server is available"),
    code: "offsite_server",
    message: /^HTTP 503$/,
    ...AGAIN,
  },
  {
    name: "504",
    answer: plain(504),
    code: "offsite_server",
    message: /^HTTP 504$/,
    ...AGAIN,
  },
  {
    name: "no answer",
    answer: hang(""),
    code: "offsite_timeout",
    message: /^no complete answer within 30 s$/,
    ...AGAIN,
  },
  {
    name: "a slow body",
    answer: hang("HTTP/1.1 200 x\r\nETag: x\r\nContent-Length: 50\r\n\r\nslow"),
    call: get,
    code: "offsite_timeout",
    message: /^no complete answer within 30 s$/,
    ...AGAIN,
  },
  {
    name: "a body that the service waited for",
    answer: s3Error(400, "RequestTimeout", "Your socket connection was not read from in time."),
    code: "offsite_timeout",
    message: /^HTTP 400 RequestTimeout /,
    ...AGAIN,
  },
  {
    name: "a connection that is closed",
    answer: raw(""),
    code: "offsite_connection",
    message: /^connection closed before message completed$/,
    ...AGAIN,
  },
  {
    name: "half a head",
    answer: raw("HTTP/1.1 200 x\r\nETag: x\r\nContent-Le"),
    code: "offsite_connection",
    message: /./,
    ...AGAIN,
  },
  {
    name: "half a body",
    answer: raw("HTTP/1.1 200 x\r\nETag: x\r\nContent-Length: 50\r\n\r\nhalf"),
    call: get,
    code: "offsite_connection",
    message: /./,
    ...AGAIN,
  },
  {
    name: "half an error",
    answer: raw("HTTP/1.1 403 x\r\nContent-Length: 50\r\n\r\n<Error><Code>Acc"),
    code: "offsite_connection",
    message: /./,
    ...AGAIN,
  },
  {
    name: "half of what was sent",
    answer: s3Error(400, "IncompleteBody", "You did not provide the number of bytes specified"),
    code: "offsite_connection",
    message: /^HTTP 400 IncompleteBody /,
    ...AGAIN,
  },
  {
    name: "a body of another length than the header says",
    // The client reads as much as the header says; a HEAD of the same object says more.
    answer: async (_, __, connection) => {
      await send(connection, "HTTP/1.1 200 x\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n");
      await send(connection, "4\r\nhalf\r\n0\r\n\r\n");
    },
    call: get,
    code: "offsite_bad_answer",
    message: /^HTTP 200, not an answer of S3$/,
  },
  {
    name: "407",
    answer: plain(407, "Proxy Authentication Required"),
    code: "offsite_proxy",
    message: /^HTTP 407, not an answer of S3$/,
  },
  {
    name: "a login page with status 200",
    answer: plain(200, PAGE, { "content-type": "text/html; charset=utf-8" }),
    code: "offsite_proxy",
    message: /^HTTP 200, not an answer of S3$/,
    status: 200,
  },
  {
    name: "a page with status 403",
    answer: plain(403, PAGE),
    code: "offsite_proxy",
    message: /^HTTP 403, not an answer of S3$/,
  },
  {
    name: "a redirect to a login page",
    answer: plain(302, "", { location: "http://login.test/?from=k" }),
    code: "offsite_proxy",
    message: /^HTTP 302, a redirect to login\.test, not followed$/,
  },
  {
    name: "an object that does not exist",
    answer: s3Error(404, "NoSuchKey", "The specified key does not exist."),
    call: get,
    code: "offsite_not_found",
    message: /^HTTP 404 NoSuchKey /,
  },
  {
    name: "an object that does not exist, asked with HEAD",
    answer: plain(404, "", { "content-type": "application/xml" }),
    call: head,
    code: "offsite_not_found",
    message: /^HTTP 404$/,
  },
  {
    name: "a version that does not exist",
    answer: s3Error(404, "NoSuchVersion", "The specified version does not exist."),
    call: (s3) => s3.head("k", "v"),
    code: "offsite_not_found",
    message: /^HTTP 404/,
  },
  {
    name: "JSON",
    answer: plain(404, '{"message":"Route not found"}', { "content-type": "application/json" }),
    code: "offsite_bad_answer",
    message: /^HTTP 404, not an answer of S3$/,
  },
  {
    name: "an empty success",
    answer: plain(200),
    code: "offsite_bad_answer",
    message: /^HTTP 200, not an answer of S3$/,
  },
  {
    name: "another document",
    answer: plain(200, "<ListBucketResultX/>"),
    call: (s3) => s3.list("p"),
    code: "offsite_bad_answer",
    message: /^HTTP 200, not an answer of S3$/,
  },
  {
    name: "a list without sizes",
    answer: plain(200, "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"),
    call: (s3) => s3.list("p"),
    code: "offsite_bad_answer",
    message: /^HTTP 200, not an answer of S3$/,
  },
  {
    name: "a list that breaks off",
    answer: plain(200, "<ListBucketResult><Contents><Key>a</Key><Size>1</Size>"),
    call: (s3) => s3.list("p"),
    code: "offsite_bad_answer",
    message: /^HTTP 200, not an answer of S3$/,
  },
  {
    name: "an endless error",
    answer: plain(400, "<Error><Code>AccessDenied</Code>" + " ".repeat(70_000)),
    code: "offsite_bad_answer",
    message: /^HTTP 400, the answer is too large$/,
  },
  {
    name: "an endless object",
    answer: plain(200, "x".repeat(101), ETAG),
    call: get,
    code: "offsite_bad_answer",
    message: /^the object has more than 100 bytes$/,
  },
  {
    name: "another protocol",
    answer: raw("SSH-2.0-OpenSSH_9.2\r\n"),
    code: "offsite_bad_answer",
    message: /^invalid HTTP version parsed$/,
  },
  {
    name: "an object that is too large",
    answer: s3Error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum size"),
    code: "offsite_too_large",
    message: /^HTTP 400 EntityTooLarge /,
  },
  {
    name: "413 of a gateway",
    answer: plain(413, PAGE, { "content-type": "text/html" }),
    code: "offsite_too_large",
    message: /^HTTP 413$/,
  },
  {
    name: "a header that the service does not know (R2)",
    answer: s3Error(501, "NotImplemented", "Header 'x-amz-object-lock-mode' not implemented"),
    code: "offsite_not_implemented",
    message: /^HTTP 501 NotImplemented .*not implemented$/,
  },
  {
    name: "a status that nobody expects",
    answer: plain(418),
    code: "offsite_http",
    message: /^HTTP 418$/,
    status: 418,
  },
  {
    name: "a code that nobody expects",
    answer: s3Error(400, "OddWords", "Something is odd"),
    code: "offsite_http",
    message: /^HTTP 400 OddWords .*: Something is odd$/,
    s3code: "OddWords",
  },
  {
    name: "a code that is a text",
    answer: s3Error(403, "No <b>access</b> for you", "x"),
    code: "offsite_bad_answer",
    message: /^HTTP 403/,
  },
];

/** What every problem has in common. */
function check(problem: S3Problem, endpoint: string): string {
  const [call, message] =
    /^([A-Z]+ in bucket "b" at [^ ]+): (.*)$/.exec(problem.message)?.slice(1) ??
      [];
  assert(call?.endsWith(` at ${new URL(endpoint).host}`), problem.message);
  assert([...problem.message].length <= contract.limits.error_chars, problem.message);
  assert(!problem.message.includes(SECRET) && !problem.message.includes("?"), problem.message);
  assert(!/AWS4|Signature=/.test(problem.message), problem.message);
  assert(S3_CODES.includes(problem.code));
  return message ?? "";
}

for (const { name, answer, code, message, call, ...wanted } of CASES) {
  Deno.test(`s3: ${name}`, () =>
    withServer([answer], async (endpoint, bench) => {
      const s3 = bench.client(endpoint, { timeoutMs: 30_000 });
      const problem = await (call ?? ((s3) => s3.put("k", BODY)))(s3);
      assertProblem(problem);
      assert.equal(problem.code, code, problem.message);
      assert.match(check(problem, endpoint), message);
      assert.equal(problem.retry, wanted.retry ?? false);
      assert.equal(bench.got.length, wanted.attempts ?? 1, "attempts");
      if (wanted.status !== undefined) assert.equal(problem.status, wanted.status);
      if (wanted.s3code !== undefined) assert.equal(problem.s3code, wanted.s3code);
    }));
}

/** Runs openssl, which is needed to make a certificate. */
async function certificate(): Promise<{ cert: string; key: string }> {
  const directory = await Deno.makeTempDir();
  try {
    const [cert, key] = [`${directory}/cert`, `${directory}/key`];
    const { success } = await new Deno.Command("openssl", {
      args: [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        ...["-subj", "/CN=s3.test", "-addext", "subjectAltName=IP:127.0.0.1"],
        ...["-out", cert, "-keyout", key],
      ],
      stderr: "null",
    }).output();
    assert(success, "openssl req");
    return { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) };
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

// Nobody vouches for the certificate, so nothing is sent.
Deno.test("s3: a certificate that nobody trusts", async () => {
  let calls = 0;
  const options = { hostname: "127.0.0.1", port: 0, onListen() {}, ...await certificate() };
  const server = Deno.serve(options, () => {
    calls++;
    return new Response();
  });
  try {
    await withServer([], async (_, bench) => {
      const endpoint = `https://127.0.0.1:${server.addr.port}`;
      const problem = await bench.client(endpoint).put("k", BODY);
      assertProblem(problem);
      assert.equal(problem.code, "offsite_tls");
      assert.match(check(problem, endpoint), /^invalid peer certificate: /);
      assert.deepEqual([problem.retry, calls], [false, 0]);
    });
  } finally {
    await server.shutdown();
  }
});

// An endpoint that begins with https by mistake.
Deno.test("s3: a server without TLS", () =>
  withServer([OK], async (endpoint, bench) => {
    const secure = endpoint.replace("http:", "https:");
    const problem = await bench.client(secure).put("k", BODY);
    assertProblem(problem);
    assert.equal(problem.code, "offsite_tls", problem.message);
    check(problem, secure);
  }));

Deno.test("s3: nobody listens", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  await withServer([], async (_, bench) => {
    const endpoint = `http://127.0.0.1:${port}`;
    const problem = await bench.client(endpoint).put("k", BODY);
    assertProblem(problem);
    assert.equal(problem.code, "offsite_connection");
    assert.match(check(problem, endpoint), /Connection refused/);
    assert.deepEqual(bench.pauses, [1000, 2000]);
  });
});

// RFC 6761 reserves the domain, so that no resolver finds it.
Deno.test("s3: a host that does not exist", () =>
  withServer([], async (_, bench) => {
    const endpoint = "http://nothing.invalid";
    const problem = await bench.client(endpoint).put("k", BODY);
    assertProblem(problem);
    assert.equal(problem.code, "offsite_dns", problem.message);
    assert.match(check(problem, endpoint), /^dns error: /);
    assert.deepEqual([problem.retry, bench.pauses], [true, []]);
  }));

// What the runtime says where this machine cannot make it say so.
Deno.test("s3: what breaks a connection, by the runtime's words", async () => {
  const before =
    "error sending request for url (https://proxy.tls.test/certificate): client error ";
  for (
    const [error, code] of [
      [new TypeError(`${before}(Connect): tunnel error: unsuccessful`), "offsite_proxy"],
      [
        new TypeError("fetch failed", {
          cause: new Error(`${before}(Connect): received fatal alert: HandshakeFailure`),
        }),
        "offsite_tls",
      ],
      [new TypeError(`${before}(SendRequest): Broken pipe (os error 32)`), "offsite_connection"],
      [new TypeError(`${before}(Connect): Network is unreachable`), "offsite_connection"],
      [new TypeError("error reading a body from connection"), "offsite_connection"],
      ["not an error", "offsite_connection"],
    ] as const
  ) {
    await withServer([], async (_, bench) => {
      const endpoint = "https://proxy.tls.test";
      const problem = await bench.client(endpoint, { fetch: () => Promise.reject(error) }).head(
        "k",
      );
      assertProblem(problem);
      assert.equal(problem.code, code, String(error));
      check(problem, endpoint);
    });
  }
});

// The host that a redirect names gets nothing at all, least of all the signature.
Deno.test("s3: no redirect is followed", () =>
  withServer(
    [OK],
    (elsewhere, other) =>
      withServer([plain(307, "", { location: `${elsewhere}/b/k` })], async (endpoint, bench) => {
        const problem = await bench.client(endpoint).put("k", BODY);
        assertProblem(problem);
        assert.equal(problem.code, "offsite_proxy");
        assert.match(check(problem, endpoint), /, a redirect to 127\.0\.0\.1:\d+, not followed$/);
        assert.equal(other.got.length, 0);
      }),
  ));

// Each code is the answer to something here, where those two have tests of their own, and has words
// for the status and the alert.
Deno.test("s3: every code occurs", () => {
  const seen = new Set<S3Code>([...CASES.map(({ code }) => code), "offsite_dns", "offsite_tls"]);
  assert.deepEqual([...seen].sort(), [...S3_CODES].sort());
  assert.deepEqual(S3_CODES.filter((code) => !(code in codes)), [], "codes.json lacks codes");
});

// The secret does not get into a message, even if the service repeats it.
Deno.test("s3: a service that repeats the secret", () =>
  withServer(
    [s3Error(403, "AccessDenied", `<b>x</b> no ${SECRET} ok`)],
    async (endpoint, bench) => {
      const problem = await bench.client(endpoint).put("k", BODY);
      assertProblem(problem);
      assert.match(check(problem, endpoint), /no \[removido\] ok$/);
    },
  ));

// What a put consists of: the path of the bucket below the endpoint's, the digest twice, the lock in
// whole seconds, and the condition.
Deno.test("s3: what is sent with an object", () =>
  withServer([plain(200, "", { ...ETAG, "x-amz-version-id": "v1" })], async (endpoint, bench) => {
    const lock = { mode: "compliance", until: UNTIL } as const;
    const s3 = bench.client(`${endpoint}/storage/v1/s3/`);
    const stored = await s3.put("a b/ç+%.cms", BODY, { lock, contentType: "text/plain" });
    assert.deepEqual(stored, { size: BODY.length, sha256: SHA256, versionId: "v1", lost: false });
    const [got] = bench.got;
    assert(got !== undefined);
    assert.equal(got.method, "PUT");
    assert.equal(got.path, "/storage/v1/s3/b/a%20b/%C3%A7%2B%25.cms");
    assert.deepEqual([...got.query], []);
    assert.deepEqual(Buffer.from(got.body), Buffer.from(BODY));
    const headers = Object.fromEntries(got.headers);
    const { authorization, ...rest } = headers;
    assert.equal(
      authorization?.replace(/Signature=[0-9a-f]{64}$/, ""),
      `AWS4-HMAC-SHA256 Credential=${KEY_ID}/20261127/eu-west-1/s3/aws4_request, ` +
        "SignedHeaders=content-type;host;if-none-match;x-amz-checksum-sha256;" +
        "x-amz-content-sha256;x-amz-date;x-amz-object-lock-mode;" +
        "x-amz-object-lock-retain-until-date, ",
    );
    assert.deepEqual(rest, {
      accept: "*/*",
      "accept-encoding": "identity",
      "accept-language": rest["accept-language"],
      "content-length": String(BODY.length),
      "content-type": "text/plain",
      host: new URL(endpoint).host,
      "if-none-match": "*",
      "user-agent": `auto-backup/${contract.function_version}`,
      "x-amz-checksum-sha256": DIGEST,
      "x-amz-content-sha256": SHA256,
      "x-amz-date": "20261127T060000Z",
      "x-amz-object-lock-mode": "COMPLIANCE",
      "x-amz-object-lock-retain-until-date": "2026-12-27T06:00:00Z",
    });
  }));

// What a destination cannot do is left out.
Deno.test("s3: what is not sent", () =>
  withServer([OK], async (endpoint, bench) => {
    const s3 = bench.client(endpoint);
    assertDone(await s3.put("k", BODY, { checksum: false, exclusive: false, lock: null }));
    assertDone(await s3.put("k", BODY));
    const [bare, usual] = bench.got.map(({ headers }) => headers);
    for (const name of ["if-none-match", "x-amz-checksum-sha256"]) {
      assert.deepEqual([bare?.has(name), usual?.has(name)], [false, true], name);
    }
    assert(!usual?.has("x-amz-object-lock-mode"));
    assert.equal(usual?.get("content-type"), "application/octet-stream");
  }));

/** One row: the answers, then the pauses, and what comes of it. */
const RETRIES: readonly [
  string,
  readonly Answer[],
  readonly number[],
  S3Code | "stored" | "lost",
][] = [
  ["once", [OK], [], "stored"],
  ["after an error of the server", [plain(500), OK], [1000], "stored"],
  ["after two of them", [plain(500), plain(502), OK], [1000, 2000], "stored"],
  [
    "not after three of them",
    [plain(500), plain(502), plain(504), OK],
    [1000, 2000],
    "offsite_server",
  ],
  ["when the service says so", [plain(503, "", { "retry-after": "7" }), OK], [7000], "stored"],
  [
    "at the time that the service says",
    [plain(429, "", { "retry-after": "Fri, 27 Nov 2026 06:00:05 GMT" }), OK],
    [5000],
    "stored",
  ],
  ["not earlier than otherwise", [plain(503, "", { "retry-after": "0" }), OK], [1000], "stored"],
  [
    "whatever the service writes",
    [plain(503, "", { "retry-after": "soon" }), OK],
    [1000],
    "stored",
  ],
  [
    "not when the time is over",
    [plain(503, "", { "retry-after": "100" }), OK],
    [],
    "offsite_server",
  ],
  ["not after a refusal", [plain(500), plain(403)], [1000], "offsite_denied"],
  ["found there after a lost answer", [raw(""), plain(412)], [1000], "lost"],
  ["found there after a timeout", [hang(""), plain(412)], [1000], "lost"],
  ["found there after an error", [plain(500), plain(500), plain(412)], [1000, 2000], "lost"],
  ["found there at once", [plain(412)], [], "offsite_exists"],
  [
    "found there though nothing was stored",
    [s3Error(400, "BadDigest", ""), plain(412)],
    [1000],
    "offsite_exists",
  ],
];

for (const [name, answers, pauses, outcome] of RETRIES) {
  Deno.test(`s3: stored ${name}`, () =>
    withServer(answers, async (endpoint, bench) => {
      const result = await bench.client(endpoint).put("k", BODY);
      const got = isS3Problem(result) ? result.code : result.lost ? "lost" : "stored";
      assert.equal(got, outcome);
      assert.deepEqual(bench.pauses, pauses);
      assert.equal(bench.got.length, pauses.length + 1);
    }));
}

// A service may ask for a day; we tell an hour at most.
Deno.test("s3: how long the service asks to wait", () =>
  withServer([plain(429, "", { "retry-after": "86400" })], async (endpoint, bench) => {
    const problem = await bench.client(endpoint).put("k", BODY);
    assertProblem(problem);
    assert.equal(problem.retryAfterMs, 3_600_000);
  }));

// Attempts get what is left of the time of all.
Deno.test("s3: the time of all attempts is limited", () =>
  withServer([hang("")], async (endpoint, bench) => {
    const s3 = bench.client(endpoint, { timeoutMs: 60_000, totalMs: 90_000 });
    const problem = await s3.put("k", BODY);
    assertProblem(problem);
    assert.deepEqual(bench.timeouts, [60_000, 29_000]);
    assert.equal(bench.clock - NOW, 90_000);
    assert.match(check(problem, endpoint), /within 29 s$/);
  }));

/** What a service says of an object that is as it should be. */
const RIGHT = {
  ...ETAG,
  "content-length": String(BODY.length),
  "x-amz-checksum-sha256": DIGEST,
  "x-amz-version-id": "v1",
  "x-amz-object-lock-mode": "GOVERNANCE",
  "x-amz-object-lock-retain-until-date": "2026-12-27T06:00:00.000Z",
};
const GOVERNANCE: ObjectLock = { mode: "governance", until: UNTIL };

/** One row: what differs in the headers, the lock that was asked for, and the problem. */
const VERIFIED: readonly [
  string,
  Record<string, string>,
  ObjectLock | null,
  S3Code | null,
  RegExp?,
][] = [
  ["as it should be", {}, GOVERNANCE, null],
  ["without a lock that nobody asked for", { "x-amz-object-lock-mode": "" }, null, null],
  ["locked though nobody asked", {}, null, null],
  [
    "locked for longer",
    { "x-amz-object-lock-retain-until-date": "2027-01-01T00:00:00Z" },
    GOVERNANCE,
    null,
  ],
  ["locked more strictly", { "x-amz-object-lock-mode": "COMPLIANCE" }, GOVERNANCE, null],
  [
    "of another size",
    { "content-length": "25" },
    GOVERNANCE,
    "offsite_checksum",
    /has 25 bytes, 24 were/,
  ],
  [
    "of another digest",
    { "x-amz-checksum-sha256": "A".repeat(43) + "=" },
    GOVERNANCE,
    "offsite_checksum",
    /SHA-256 is 0{64}$/,
  ],
  [
    "with the digest of parts",
    { "x-amz-checksum-sha256": `${"A".repeat(43)}=-2` },
    GOVERNANCE,
    null,
  ],
  ["without a digest", { "x-amz-checksum-sha256": "" }, GOVERNANCE, null],
  [
    "without a lock",
    { "x-amz-object-lock-mode": "" },
    GOVERNANCE,
    "offsite_lock_missing",
    /tells of no lock/,
  ],
  [
    "with a lock that never ends",
    { "x-amz-object-lock-retain-until-date": "never" },
    GOVERNANCE,
    "offsite_lock_missing",
    /tells of no lock/,
  ],
  [
    "locked for a shorter time",
    { "x-amz-object-lock-retain-until-date": "2026-12-27T05:59:59Z" },
    GOVERNANCE,
    "offsite_lock_missing",
    /in mode governance until 2026-12-27T05:59:59Z, not in mode governance until 2026-12-27T06:00:00Z$/,
  ],
  [
    "locked less strictly",
    {},
    { mode: "compliance", until: UNTIL },
    "offsite_lock_missing",
    /in mode governance until .*, not in mode compliance until /,
  ],
];

for (const [name, headers, lock, code, message] of VERIFIED) {
  Deno.test(`s3: a stored object ${name}`, () =>
    withServer([plain(200, "", { ...RIGHT, ...headers })], async (endpoint, bench) => {
      const expected = { size: BODY.length, sha256: SHA256, lock };
      const result = await bench.client(endpoint).verify("k", expected, "v1");
      const [got] = bench.got;
      assert.deepEqual([got?.method, got?.path, String(got?.query)], [
        "HEAD",
        "/b/k",
        "versionId=v1",
      ]);
      assert.equal(got?.headers.get("x-amz-checksum-mode"), "ENABLED");
      assert.equal(got?.headers.get("x-amz-content-sha256"), EMPTY_SHA256);
      if (code === null) {
        assertDone(result);
        assert.equal(result.versionId, "v1");
        return;
      }
      assertProblem(result);
      assert.equal(result.code, code);
      assert.match(check(result, endpoint), message ?? /^$/);
    }));
}

// Its content is read and compared too, in the version that HEAD has seen, because the digest that the
// service tells is one that it was told.
Deno.test("s3: the content of a stored object", async () => {
  const other = Uint8Array.from(BODY, (byte, i) => i === 5 ? byte ^ 1 : byte);
  for (const [content, code] of [[BODY, null], [other, "offsite_checksum"]] as const) {
    const answer: Answer = () => new Response(content, { headers: RIGHT });
    await withServer([answer], async (endpoint, bench) => {
      const expected = { size: BODY.length, sha256: SHA256, lock: GOVERNANCE };
      const result = await bench.client(endpoint).verifyContent("k", expected);
      assert.equal(isS3Problem(result) ? result.code : null, code);
      const calls = bench.got.map(({ method, query }) => `${method} ${query}`);
      assert.deepEqual(calls, ["HEAD ", "GET versionId=v1"]);
    });
  }
  const small: Answer = ({ method }) =>
    new Response(method === "HEAD" ? null : "less", {
      headers: { ...RIGHT, "content-length": method === "HEAD" ? String(BODY.length) : "4" },
    });
  for (
    const [answers, code] of [
      [[plain(404)], "offsite_not_found"],
      [[small], "offsite_checksum"],
      [[plain(200, "", RIGHT), s3Error(403, "AccessDenied", "")], "offsite_denied"],
    ] as const
  ) {
    await withServer(answers, async (endpoint, bench) => {
      const expected = { size: BODY.length, sha256: SHA256 };
      const result = await bench.client(endpoint).verifyContent("k", expected);
      assert.equal(isS3Problem(result) ? result.code : null, code);
    });
  }
});

// An object is read with what the service says of it.
Deno.test("s3: an object is read", async () => {
  const answer: Answer = () =>
    new Response(BODY, { headers: { ...RIGHT, "x-amz-version-id": "null" } });
  await withServer([answer], async (endpoint, bench) => {
    const content = await bench.client(endpoint).get("k", BODY.length);
    assertDone(content);
    assert.deepEqual({ ...content, bytes: Buffer.from(content.bytes) }, {
      bytes: Buffer.from(BODY),
      size: BODY.length,
      sha256: SHA256,
      versionId: null,
      lock: { mode: "governance", until: new Date("2026-12-27T06:00:00Z") },
    });
  });
});

// A deletion is one whatever the service answers with success.
Deno.test("s3: an object is deleted", async () => {
  for (const answer of [plain(204), plain(200)]) {
    await withServer([answer], async (endpoint, bench) => {
      assert.equal(await bench.client(endpoint).delete("k", "v 1"), null);
      const [got] = bench.got;
      assert.deepEqual([got?.method, got?.query.get("versionId")], ["DELETE", "v 1"]);
    });
  }
});

/** Asks for a document about the bucket. */
async function ask<T extends object>(
  document: string,
  call: (s3: S3) => Promise<T | S3Problem>,
  path: string,
): Promise<T> {
  let result: T | S3Problem | undefined;
  await withServer([plain(200, document)], async (endpoint, bench) => {
    result = await call(bench.client(endpoint));
    const [got] = bench.got;
    assert.equal(`${got?.method} ${got?.path}?${got?.query}`, `GET ${path}`);
  });
  assert(result !== undefined);
  assertDone(result);
  return result;
}

Deno.test("s3: what a bucket has of Object Lock", async () => {
  const enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>";
  const rule = (text: string) =>
    `${enabled}<Rule><DefaultRetention>${text}</DefaultRetention></Rule>`;
  for (
    const [text, wanted] of [
      ["", { enabled: false, mode: null, days: null }],
      [enabled, { enabled: true, mode: null, days: null }],
      [
        rule("<Mode>GOVERNANCE</Mode><Days>30</Days>"),
        { enabled: true, mode: "governance", days: 30 },
      ],
      [
        rule("<Mode>COMPLIANCE</Mode><Years>2</Years>"),
        { enabled: true, mode: "compliance", days: 730 },
      ],
    ] as const
  ) {
    const xml = `<?xml version="1.0"?>\n<ObjectLockConfiguration xmlns="http://s3.test/">${text}` +
      "</ObjectLockConfiguration>";
    const got = await ask(xml, (s3) => s3.lockConfiguration(), "/b?object-lock=");
    assert.deepEqual(got, wanted);
  }
});

Deno.test("s3: whether a bucket keeps versions", async () => {
  for (
    const [text, enabled] of [
      ["<Status>Enabled</Status>", true],
      ["<Status>Suspended</Status>", false],
      ["", false],
    ] as const
  ) {
    const xml = `<VersioningConfiguration>${text}</VersioningConfiguration>`;
    const got = await ask(xml, (s3) => s3.versioning(), "/b?versioning=");
    assert.deepEqual(got, { enabled });
  }
  const none = await ask("<VersioningConfiguration/>", (s3) => s3.versioning(), "/b?versioning=");
  assert.deepEqual(none, { enabled: false });
});

Deno.test("s3: a list in pages", async () => {
  const xml = '<ListBucketResult xmlns="x"><IsTruncated>true</IsTruncated>' +
    "<Contents><Key>p/a&amp;b&#x41;&#66;&lt;&bogus;&#x110000;</Key><Size>12</Size></Contents>" +
    "<Contents><Size>0</Size><Key>p/c</Key></Contents>" +
    "<NextContinuationToken>a/b+c=</NextContinuationToken></ListBucketResult>";
  const first = await ask(xml, (s3) => s3.list("p/"), "/b?list-type=2&max-keys=1000&prefix=p%2F");
  assert.deepEqual(first, {
    objects: [{ key: "p/a&bAB<&bogus;&#x110000;", size: 12 }, { key: "p/c", size: 0 }],
    next: "a/b+c=",
  });
  const last = await ask(
    "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
    (s3) => s3.list("p/", first.next, 10),
    "/b?continuation-token=a%2Fb%2Bc%3D&list-type=2&max-keys=10&prefix=p%2F",
  );
  assert.deepEqual(last, { objects: [], next: null });
});

// An endpoint with more than a host and a path would lose it, or show a password.
Deno.test("s3: which endpoints there are", () => {
  const make = (endpoint: string) => () =>
    new S3(
      { endpoint, region: "r", bucket: "b", accessKeyId: KEY_ID, secretAccessKey: SECRET },
      {} as S3Options,
    );
  for (const endpoint of ["https://s3.test", "http://127.0.0.1:9000/path/"]) make(endpoint)();
  for (
    const endpoint of [
      ...["", "s3.test", "ftp://s3.test", "https://u:p@s3.test", "https://u@s3.test"],
      ...["https://s3.test/?a=b", "https://s3.test/#a"],
    ]
  ) assert.throws(make(endpoint), TypeError, endpoint);
});

// The XML is read by its elements, in a time that grows with its length alone.
Deno.test("s3: elements of XML", () => {
  for (
    const [xml, text] of [
      ["<a>x</a>", "x"],
      ["<a></a>", ""],
      ["<b><a>x</a><a>y</a></b>", "x"],
      ["<ab>x</ab>", null],
      ["<a>x", null],
      ["</a><a>", null],
      ["", null],
    ] as const
  ) assert.equal(element(xml, "a"), text, xml);
  for (
    const [xml, is] of [
      ["<a/>", true],
      ['<a b="c">', true],
      [' <?xml version="1.0"?>\n<a>', true],
      ["<a", false],
      ["<ab>", false],
      ["<?xml", false],
      ["<b><a></b>", false],
      ["", false],
    ] as const
  ) assert.equal(hasRoot(xml, "a"), is, xml);
});
