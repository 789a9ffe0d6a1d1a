/**
 * Why a call of an S3 service failed: one code for each cause that a person removes in another way.
 * Services differ in their statuses and words, so several of them lead to one code.
 */

import { type Clean, clip } from "./clean.ts";

/** All codes of S3Problem. Each comment says what happened. */
export const S3_CODES = [
  // The service does not know the access key ID.
  "offsite_key_unknown",
  // The signature is wrong: the secret access key does not belong to the access key ID.
  "offsite_signature",
  // The policies do not allow the call to this access key.
  "offsite_denied",
  // There is no bucket with this name.
  "offsite_no_bucket",
  // The bucket is in another region, or at another address.
  "offsite_region",
  // The clocks of the function and of the service differ too much for a signature.
  "offsite_clock",
  // There is an object with this key already.
  "offsite_exists",
  // Another call changes the same object or bucket.
  "offsite_conflict",
  // The bucket has no Object Lock, or the stored object is not locked as asked.
  "offsite_lock_missing",
  // The service refuses this lock: its mode, its date, or the right to set one.
  "offsite_lock_refused",
  // The object is locked, so it cannot be deleted or overwritten.
  "offsite_locked",
  // The bytes that arrived or are stored are not those that were sent.
  "offsite_checksum",
  // The quota of the bucket or of the account is used up, or the disks are full.
  "offsite_quota",
  // The service asks for fewer calls.
  "offsite_slow_down",
  // The service has an internal error, or is not available.
  "offsite_server",
  // There was no answer in time.
  "offsite_timeout",
  // The connection was refused, or broke before the answer was complete.
  "offsite_connection",
  // The host name of the endpoint cannot be resolved.
  "offsite_dns",
  // There is no trusted TLS connection to the endpoint.
  "offsite_tls",
  // A proxy or a login page answered instead of the service.
  "offsite_proxy",
  // There is no object with this key or version.
  "offsite_not_found",
  // The answer is not one of S3, or too large.
  "offsite_bad_answer",
  // The object is larger than the service accepts.
  "offsite_too_large",
  // The service does not support something that the call needs.
  "offsite_not_implemented",
  // Any other failure; the message has the HTTP status.
  "offsite_http",
] as const;

/** The code of a failed call. */
export type S3Code = typeof S3_CODES[number];

/** Why a call failed. */
export interface S3Problem {
  readonly code: S3Code;
  /** HTTP status, if there was an answer. */
  readonly status?: number;
  /** The service's own code, if it sent one. */
  readonly s3code?: string;
  /** One clean English line of at most limits.error_chars characters, without secrets. */
  readonly message: string;
  /** Whether the same call may succeed later though nobody changes anything. */
  readonly retry: boolean;
  /** How long the service asks to wait, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** An answer that is not a success. */
export interface Refused {
  readonly status: number;
  readonly headers: Headers;
  /** The body, or null if it is too large. */
  readonly text: string | null;
}

/** What the messages name, and the clock. */
export interface Place {
  /** What was tried, such as `PUT to bucket "a" at s3.example.com`. */
  readonly call: string;
  readonly region: string;
  readonly now: Date;
  readonly clean: Clean;
}

const TEMPORARY: readonly S3Code[] = [
  "offsite_conflict",
  "offsite_checksum",
  "offsite_slow_down",
  "offsite_server",
  "offsite_timeout",
  "offsite_connection",
  "offsite_dns",
];

/** The codes of AWS, and those of other services that say something else in the same case. */
const BY_S3_CODE = new Map<string, S3Code>([
  ["InvalidAccessKeyId", "offsite_key_unknown"],
  ["XAdminUserNotFound", "offsite_key_unknown"],
  ["SignatureDoesNotMatch", "offsite_signature"],
  ["AccessDenied", "offsite_denied"],
  ["AllAccessDisabled", "offsite_denied"],
  ["AccountProblem", "offsite_denied"],
  ["Unauthorized", "offsite_denied"],
  ["NoSuchBucket", "offsite_no_bucket"],
  ["InvalidBucketName", "offsite_no_bucket"],
  ["AuthorizationHeaderMalformed", "offsite_region"],
  ["IllegalLocationConstraintException", "offsite_region"],
  ["InvalidRegionName", "offsite_region"],
  ["PermanentRedirect", "offsite_region"],
  ["Redirect", "offsite_region"],
  ["TemporaryRedirect", "offsite_region"],
  ["RequestTimeTooSkewed", "offsite_clock"],
  ["PreconditionFailed", "offsite_exists"],
  ["ConditionalRequestConflict", "offsite_conflict"],
  ["OperationAborted", "offsite_conflict"],
  ["InvalidBucketObjectLockConfiguration", "offsite_lock_missing"],
  ["ObjectLockConfigurationNotFoundError", "offsite_lock_missing"],
  ["ObjectLockConfigurationNotFound", "offsite_lock_missing"],
  ["NoSuchObjectLockConfiguration", "offsite_lock_missing"],
  ["InvalidRetentionDate", "offsite_lock_refused"],
  ["InvalidRetentionPeriod", "offsite_lock_refused"],
  ["PastObjectLockRetainDate", "offsite_lock_refused"],
  ["UnknownWORMModeDirective", "offsite_lock_refused"],
  ["ObjectLocked", "offsite_locked"],
  ["BadDigest", "offsite_checksum"],
  ["InvalidDigest", "offsite_checksum"],
  ["XAmzContentChecksumMismatch", "offsite_checksum"],
  ["XAmzContentSHA256Mismatch", "offsite_checksum"],
  ["QuotaExceeded", "offsite_quota"],
  ["StorageFull", "offsite_quota"],
  ["XMinioAdminBucketQuotaExceeded", "offsite_quota"],
  ["XMinioStorageFull", "offsite_quota"],
  ["RequestLimitExceeded", "offsite_slow_down"],
  ["ServiceUnavailable", "offsite_slow_down"],
  ["SlowDown", "offsite_slow_down"],
  ["SlowDownRead", "offsite_slow_down"],
  ["SlowDownWrite", "offsite_slow_down"],
  ["Throttling", "offsite_slow_down"],
  ["TooManyRequests", "offsite_slow_down"],
  ["InternalError", "offsite_server"],
  ["RequestTimeout", "offsite_timeout"],
  ["IncompleteBody", "offsite_connection"],
  ["NoSuchKey", "offsite_not_found"],
  ["NoSuchVersion", "offsite_not_found"],
  ["EntityTooLarge", "offsite_too_large"],
  ["NotImplemented", "offsite_not_implemented"],
]);

/** What a status says without S3's words: answers to HEAD have no body. */
const BY_STATUS = new Map<number, S3Code>([
  [401, "offsite_denied"],
  [403, "offsite_denied"],
  [404, "offsite_not_found"],
  [408, "offsite_timeout"],
  [409, "offsite_conflict"],
  [412, "offsite_exists"],
  [413, "offsite_too_large"],
  [429, "offsite_slow_down"],
  [500, "offsite_server"],
  [501, "offsite_not_implemented"],
  [502, "offsite_server"],
  [503, "offsite_server"],
  [504, "offsite_server"],
  [507, "offsite_quota"],
]);

/** Statuses that mean the same whoever sends them. */
const CERTAIN: readonly number[] = [408, 413, 429, 500, 501, 502, 503, 504, 507];

/** The most that a service may ask us to wait. */
const LONGEST_WAIT_MS = 3_600_000;

/** Makes a problem of a code and the rest of its message. */
export function problem(place: Place, code: S3Code, detail: string, extra = {}): S3Problem {
  const message = clip(`${place.call}: ${detail}`);
  return { code, message, retry: TEMPORARY.includes(code), ...extra };
}

/** Describes an answer that is not a success. */
export function refusal(place: Place, answer: Refused): S3Problem {
  const { status, headers } = answer;
  const { s3code, message, requestId } = read(answer);
  const code = codeOf(answer, place.region, s3code, message.toLowerCase());
  const retryAfterMs = retryAfter(headers.get("retry-after"), place.now);
  const detail = [
    `HTTP ${status}${s3code === undefined ? "" : ` ${s3code}`}`,
    requestId === undefined ? "" : ` (request ${requestId})`,
    hint(code, answer, place),
    message === "" ? "" : `: ${place.clean(message)}`,
  ].join("");
  return problem(place, code, detail, {
    status,
    ...(s3code === undefined ? {} : { s3code }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** Describes what fetch has thrown. Deno tells the causes only in its texts. */
export function broken(place: Place, error: unknown): S3Problem {
  const messages: string[] = [];
  for (let e = error; e instanceof Error && messages.length < 5; e = e.cause) {
    messages.push(reason(e.message));
  }
  const code = breakage(messages.join(" ").toLowerCase());
  return problem(place, code, place.clean(messages.at(-1) ?? "no answer"));
}

/** The text of the first element with a name in an XML text, or null. */
export function element(xml: string, name: string, from = 0): string | null {
  const start = xml.indexOf(`<${name}>`, from);
  const begin = start + name.length + 2;
  const end = start < 0 ? -1 : xml.indexOf(`</${name}>`, begin);
  return end < 0 ? null : unescape(xml.slice(begin, end));
}

/** Whether a text is an XML document with this root element, with or without attributes. */
export function hasRoot(xml: string, name: string): boolean {
  let rest = xml.trimStart();
  if (rest.startsWith("<?")) {
    const end = rest.indexOf("?>");
    if (end < 0) return false;
    rest = rest.slice(end + 2).trimStart();
  }
  return rest.startsWith(`<${name}`) && " >/\t\r\n".includes(rest.charAt(name.length + 1) || "-");
}

const ENTITIES = new Map([["amp", "&"], ["lt", "<"], ["gt", ">"], ["quot", '"'], ["apos", "'"]]);

function unescape(text: string): string {
  return text.replace(/&(#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-z]{2,4});/g, (whole, name: string) => {
    if (!name.startsWith("#")) return ENTITIES.get(name) ?? whole;
    const point = name.startsWith("#x") ? parseInt(name.slice(2), 16) : Number(name.slice(1));
    return point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}

interface Words {
  readonly s3code?: string;
  readonly message: string;
  readonly requestId?: string;
}

/** What the service says in its XML and in the headers. */
function read({ headers, text }: Refused): Words {
  const xml = text !== null && hasRoot(text, "Error") ? text : "";
  const s3code = name(element(xml, "Code"));
  const requestId = name(headers.get("x-amz-request-id") ?? element(xml, "RequestId"));
  return {
    ...(s3code === undefined ? {} : { s3code }),
    ...(requestId === undefined ? {} : { requestId }),
    message: element(xml, "Message") ?? "",
  };
}

/** A code or an ID, but not any other text. */
function name(text: string | null): string | undefined {
  return text !== null && /^[\w.:-]{1,64}$/.test(text) ? text : undefined;
}

function codeOf(
  { status, headers, text }: Refused,
  region: string,
  s3code: string | undefined,
  message: string,
): S3Code {
  const says = (...words: string[]) => words.some((word) => message.includes(word));
  const bucketRegion = headers.get("x-amz-bucket-region");
  switch (s3code) {
    case undefined:
      break;
    case "AccessDenied":
      if (says("putobjectretention", "putobjectlegalhold")) return "offsite_lock_refused";
      if (says("object lock", "object-lock", "worm")) return "offsite_locked";
      if (says("quota", "storage cap", "cap exceeded")) return "offsite_quota";
      return "offsite_denied";
    case "AuthorizationHeaderMalformed":
      // The same code tells of an access key ID that no key can have.
      return says("region") ? "offsite_region" : "offsite_key_unknown";
    case "InvalidArgument":
    case "InvalidRequest":
    case "MalformedXML":
      if (says("access key")) return "offsite_key_unknown";
      if (says("missing object lock", "missing objectlock", "object lock is not enabled")) {
        return "offsite_lock_missing";
      }
      if (says("retain", "retention", "object lock", "object-lock", "worm")) {
        return "offsite_lock_refused";
      }
      if (says("checksum")) return "offsite_checksum";
      break;
  }
  const known = BY_S3_CODE.get(s3code ?? "");
  if (known !== undefined) return known;
  if (status === 407) return "offsite_proxy";
  if (bucketRegion !== null && bucketRegion !== region && status < 500) return "offsite_region";
  const byStatus = BY_STATUS.get(status);
  if (byStatus !== undefined && CERTAIN.includes(status)) return byStatus;
  if (s3code !== undefined) return byStatus ?? "offsite_http";
  if (status >= 300 && status < 400) return "offsite_proxy";
  if (isPage(headers, text)) return "offsite_proxy";
  if (text !== "") return "offsite_bad_answer";
  return byStatus ?? "offsite_http";
}

/** Whether an answer is a web page, which no S3 service sends. */
export function isPage(headers: Headers, text: string | null): boolean {
  const type = headers.get("content-type")?.toLowerCase() ?? "";
  const start = text?.slice(0, 64).trimStart().toLowerCase() ?? "";
  return type.startsWith("text/html") || start.startsWith("<!doctype html") ||
    start.startsWith("<html");
}

/** What the answer tells beside the service's message. */
function hint(code: S3Code, answer: Refused, place: Place): string {
  const { headers, text } = answer;
  const xml = text ?? "";
  switch (code) {
    case "offsite_region": {
      const region = name(headers.get("x-amz-bucket-region") ?? element(xml, "Region"));
      if (region !== undefined) return `, use region "${region}" instead of "${place.region}"`;
      const host = hostOf(element(xml, "Endpoint") ?? headers.get("location"));
      return host === null ? "" : `, use the endpoint ${host}`;
    }
    case "offsite_clock": {
      const server = Date.parse(element(xml, "ServerTime") ?? headers.get("date") ?? "");
      if (Number.isNaN(server)) return "";
      const seconds = Math.round((place.now.getTime() - server) / 1000);
      const side = seconds < 0 ? "behind" : "ahead of";
      return `, the function's clock is ${Math.abs(seconds)} s ${side} the service's`;
    }
    case "offsite_proxy": {
      const host = hostOf(headers.get("location"));
      return host === null ? ", not an answer of S3" : `, a redirect to ${host}, not followed`;
    }
    case "offsite_bad_answer":
      return text === null ? ", the answer is too large" : ", not an answer of S3";
    default:
      return "";
  }
}

/** The host of a URL or a bare host name, or null. */
function hostOf(text: string | null): string | null {
  if (text === null) return null;
  const url = text.includes("://") ? text : `https://${text}`;
  const host = URL.canParse(url) ? new URL(url).host : "";
  return /^[\w.:[\]-]{1,100}$/.test(host) ? host : null;
}

/** The header Retry-After, which has seconds or a date, in milliseconds. */
function retryAfter(text: string | null, now: Date): number | undefined {
  if (text === null) return undefined;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now.getTime();
  return Number.isNaN(ms) ? undefined : Math.max(0, Math.min(ms, LONGEST_WAIT_MS));
}

function breakage(text: string): S3Code {
  const says = (...words: string[]) => words.some((word) => text.includes(word));
  if (says("dns error", "failed to lookup address", "name or service not known")) {
    return "offsite_dns";
  }
  if (says("proxy", "tunnel")) return "offsite_proxy";
  if (says("certificate", "tls", "handshake", "invalidcontenttype", "corrupt message")) {
    return "offsite_tls";
  }
  if (says("invalid http")) return "offsite_bad_answer";
  return "offsite_connection";
}

/** A message of the runtime without its beginning, which has the URL and any word in it. */
function reason(message: string): string {
  const kind = message.indexOf("client error (");
  const end = kind < 0 ? -1 : message.indexOf("): ", kind);
  return end < 0 ? message : message.slice(end + 3);
}
