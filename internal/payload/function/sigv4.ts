/**
 * Signs requests with AWS Signature Version 4 in the Authorization header, as S3 wants it: the path is
 * encoded once and not normalized.
 */

import type { Bytes } from "./token.ts";

/** Who signs, and for which service. */
export interface Signer {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  /** `s3` for S3. */
  readonly service: string;
}

/** What is signed of a request. */
export interface SignedRequest {
  readonly method: string;
  /** Host name, with the port if it is not the scheme's. */
  readonly host: string;
  /** The path as it is sent, that is already encoded. */
  readonly path: string;
  /** The parameters of the query, not encoded. */
  readonly query: Readonly<Record<string, string>>;
  /** All headers to sign besides Host and X-Amz-Date. */
  readonly headers: Readonly<Record<string, string>>;
  /** SHA-256 of the body in lower-case hexadecimal. */
  readonly payload: string;
}

/** SHA-256 of no bytes. */
export const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const ALGORITHM = "AWS4-HMAC-SHA256";

/**
 * Signs a request.
 *
 * @returns the headers to send, besides Host: the given ones, X-Amz-Date and Authorization.
 */
export async function signRequest(
  request: SignedRequest,
  signer: Signer,
  now: Date,
): Promise<Record<string, string>> {
  const time = now.toISOString().replace(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const headers = { ...request.headers, "x-amz-date": time };
  const { text, signedHeaders } = canonicalRequest({ ...request, headers });
  const scope = [day, signer.region, signer.service, "aws4_request"].join("/");
  const toSign = [ALGORITHM, time, scope, await sha256(new TextEncoder().encode(text))].join("\n");
  let key: Bytes = new TextEncoder().encode(`AWS4${signer.secretAccessKey}`);
  for (const part of scope.split("/")) key = await hmac(key, part);
  const signature = hex(await hmac(key, toSign));
  const credential = `Credential=${signer.accessKeyId}/${scope}`;
  return {
    ...headers,
    authorization:
      `${ALGORITHM} ${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
  };
}

/** The text whose digest is signed, and the names of the headers in it. */
export function canonicalRequest(
  request: SignedRequest,
): { readonly text: string; readonly signedHeaders: string } {
  const headers = Object.entries({ ...request.headers, host: request.host })
    .map(([name, value]) => [name.toLowerCase(), value.trim().replace(/ +/g, " ")] as const)
    .sort(([a], [b]) => a < b ? -1 : 1);
  const signedHeaders = headers.map(([name]) => name).join(";");
  const text = [
    request.method,
    request.path,
    encodeQuery(request.query),
    ...headers.map(([name, value]) => `${name}:${value}`),
    "",
    signedHeaders,
    request.payload,
  ].join("\n");
  return { text, signedHeaders };
}

/** The query as it is signed and sent: sorted by the encoded names. */
export function encodeQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a], [b]) => a < b ? -1 : 1)
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

/** A path as it is signed and sent. Slashes separate its segments. */
export function encodePath(path: string): string {
  return path.split("/").map(encode).join("/");
}

/** Encodes all but the unreserved characters of RFC 3986, 2.3. */
function encode(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** SHA-256 in lower-case hexadecimal. */
export async function sha256(bytes: Bytes): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

async function hmac(key: Bytes, text: string): Promise<Bytes> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return new Uint8Array(
    await crypto.subtle.sign("HMAC", imported, new TextEncoder().encode(text)),
  );
}

function hex(bytes: Bytes): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
