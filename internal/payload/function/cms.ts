/**
 * Encrypts for the owners of RSA keys: CMS AuthEnvelopedData (RFC 5083) with AES-256-GCM (RFC 5084),
 * whose content key is wrapped with RSAES-OAEP (RFC 3560) for each recipient. Any of their private
 * keys opens it with `openssl cms -decrypt`. Web Crypto does the cryptography; what is here is the
 * DER around it (X.690).
 */

import type { Bytes } from "./token.ts";

/** Somebody for whom a content is sealed. */
export interface Recipient {
  /** The public key as DER SubjectPublicKeyInfo (RFC 5280, 4.1). */
  readonly spki: Bytes;
  /**
   * Names the key in what is sealed: the first 20 bytes of the SHA-256 of spki, in lower-case
   * hexadecimal. It is method 4 of RFC 7093 with the length of its method 1.
   */
  readonly keyId: string;
}

/** The least size of a recipient's key in bits: NIST rates it as 128 bits of security. */
const LEAST_KEY_BITS = 3072;

/** The largest one. Deno imports larger keys and then cannot encrypt with them. */
const MOST_KEY_BITS = 4096;

/** The most characters of a key in base64. One of 16,384 bits has some 2,800. */
const KEY_CHARACTERS = 4096;

const CONTENT_KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_BYTES = 20;

const OAEP = { name: "RSA-OAEP", hash: "SHA-256" };

/** An encoded value in pieces, which are copied only once, into the result. */
interface Der {
  readonly length: number;
  readonly pieces: readonly Bytes[];
}

const INTEGER = 0x02;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const SEQUENCE = 0x30;
const SET = 0x31;
/** [0] IMPLICIT OCTET STRING. */
const CONTEXT_0 = 0x80;
/** [0] and [1] EXPLICIT. */
const EXPLICIT_0 = 0xa0;
const EXPLICIT_1 = 0xa1;

/** id-ct-authEnvelopedData, 1.2.840.113549.1.9.16.1.23 (RFC 5083, 2.1). */
const AUTH_ENVELOPED_DATA = oid("2a864886f70d0109100117");
/** id-data, 1.2.840.113549.1.7.1 (RFC 5652, 4). */
const DATA = oid("2a864886f70d010701");
/** id-aes256-GCM, 2.16.840.1.101.3.4.1.46 (RFC 5084, 3.2). */
const AES256_GCM = oid("60864801650304012e");
/** id-RSAES-OAEP, 1.2.840.113549.1.1.7 (RFC 4055, 4). */
const RSAES_OAEP = oid("2a864886f70d010107");
/** id-mgf1, 1.2.840.113549.1.1.8 (RFC 4055, 2.2). */
const MGF1 = oid("2a864886f70d010108");
/** id-sha256, 2.16.840.1.101.3.4.2.1 (RFC 5754, 2.2). */
const ID_SHA256 = oid("608648016503040201");

/** The AlgorithmIdentifier of SHA-256, whose parameters are absent (RFC 5754, 2). */
const SHA256 = tlv(SEQUENCE, ID_SHA256);

/**
 * RSAES-OAEP with SHA-256, MGF1 with SHA-256 and no label: the AlgorithmIdentifier with
 * RSAES-OAEP-params (RFC 4055, 4.1). The empty pSourceAlgorithm is the default, so DER omits it.
 */
const KEY_ENCRYPTION = tlv(
  SEQUENCE,
  RSAES_OAEP,
  tlv(SEQUENCE, tlv(EXPLICIT_0, SHA256), tlv(EXPLICIT_1, tlv(SEQUENCE, MGF1, SHA256))),
);

/**
 * Reads the public key of a recipient, an RSA key with 3072 to 4096 bits.
 *
 * @param base64Spki the key's DER SubjectPublicKeyInfo in base64
 * @returns the recipient, or a sentence that says what is wrong with the key
 */
export async function readRecipient(base64Spki: string): Promise<Recipient | string> {
  const spki = decode(base64Spki);
  if (spki === null) return "the key is not valid base64";
  let bits: number;
  let same: boolean;
  try {
    const key = await importKey(spki);
    ({ modulusLength: bits } = key.algorithm as RsaHashedKeyAlgorithm);
    // A key with bytes after its end, or in another form than DER, would have another ID here than
    // where its owner computes it.
    same = order(spki, new Uint8Array(await crypto.subtle.exportKey("spki", key))) === 0;
  } catch {
    return "the key is not the SubjectPublicKeyInfo of an RSA key";
  }
  if (!same) return "the key is not the SubjectPublicKeyInfo of an RSA key in DER";
  if (bits < LEAST_KEY_BITS || bits > MOST_KEY_BITS) {
    return `the key has ${bits} bits; use an RSA key with ${LEAST_KEY_BITS} to ${MOST_KEY_BITS}`;
  }
  return { spki, keyId: hex(await keyIdentifier(spki)) };
}

/**
 * Encrypts a content for recipients, each of whom can open it alone. Every call makes a key and a
 * nonce of its own.
 *
 * @returns a ContentInfo (RFC 5652, 3) in DER. Beside the content it takes some 100 bytes, and for
 * each recipient about 100 bytes more than its key.
 * @throws {Error} if there are no recipients, or a key is not usable
 */
export async function seal(plain: Bytes, recipients: readonly Recipient[]): Promise<Bytes> {
  if (recipients.length === 0) throw new Error("there is no recipient");
  const contentKey = crypto.getRandomValues(new Uint8Array(CONTENT_KEY_BYTES));
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const infos = await Promise.all(recipients.map(({ spki }) => recipientInfo(spki, contentKey)));
  const key = await crypto.subtle.importKey("raw", contentKey, "AES-GCM", false, ["encrypt"]);
  contentKey.fill(0);
  const sealed = new Uint8Array(
    await crypto.subtle.encrypt(
      { name: "AES-GCM", iv: nonce, tagLength: TAG_BYTES * 8 },
      key,
      plain,
    ),
  );
  const content = sealed.subarray(0, sealed.length - TAG_BYTES);
  const tag = sealed.subarray(sealed.length - TAG_BYTES);

  // GCMParameters (RFC 5084, 3.2): the nonce, and the length of the tag, which is not the default.
  const parameters = tlv(SEQUENCE, octets(nonce), integer(TAG_BYTES));
  // EncryptedContentInfo (RFC 5652, 6.1). The algorithm is RFC 5084's.
  const encryptedContentInfo = tlv(
    SEQUENCE,
    DATA,
    tlv(SEQUENCE, AES256_GCM, parameters),
    tlv(CONTEXT_0, content),
  );
  // AuthEnvelopedData (RFC 5083, 2.1): version 0, and neither attributes nor an originator. DER
  // sorts the members of a SET OF (X.690, 11.6).
  const authEnvelopedData = tlv(
    SEQUENCE,
    integer(0),
    tlv(SET, ...infos.map(join).sort(order)),
    encryptedContentInfo,
    octets(tag),
  );
  return join(tlv(SEQUENCE, AUTH_ENVELOPED_DATA, tlv(EXPLICIT_0, authEnvelopedData)));
}

/**
 * KeyTransRecipientInfo (RFC 5652, 6.2.1). It is version 2, because the key is named by its
 * identifier and not by a certificate.
 */
async function recipientInfo(spki: Bytes, contentKey: Bytes): Promise<Der> {
  const [identifier, wrapped] = await Promise.all([keyIdentifier(spki), wrap(spki, contentKey)]);
  return tlv(SEQUENCE, integer(2), tlv(CONTEXT_0, identifier), KEY_ENCRYPTION, octets(wrapped));
}

async function wrap(spki: Bytes, contentKey: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.encrypt(OAEP, await importKey(spki), contentKey));
}

function importKey(spki: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey("spki", spki, OAEP, true, ["encrypt"]);
}

async function keyIdentifier(spki: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", spki)).slice(0, KEY_ID_BYTES);
}

function integer(value: number): Der {
  // All of them are below 128, which is one byte.
  return tlv(INTEGER, Uint8Array.of(value));
}

function octets(bytes: Bytes): Der {
  return tlv(OCTET_STRING, bytes);
}

/** An OBJECT IDENTIFIER from its content in hexadecimal. */
function oid(text: string): Der {
  return tlv(
    OBJECT_IDENTIFIER,
    Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16)),
  );
}

/** A tag, the length of the parts, and the parts. */
function tlv(tag: number, ...parts: (Bytes | Der)[]): Der {
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  const header = Uint8Array.of(tag, ...lengthOctets(size));
  const pieces = parts.flatMap((part) => "pieces" in part ? part.pieces : [part]);
  return { length: header.length + size, pieces: [header, ...pieces] };
}

/** A length in as few bytes as possible (X.690, 8.1.3 and 10.1). */
function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 0x100)) bytes.unshift(rest % 0x100);
  return [0x80 | bytes.length, ...bytes];
}

function join({ length, pieces }: Der): Bytes {
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.length;
  }
  return bytes;
}

/** Compares bytes from the first to the last; a beginning of the other one is less. */
function order(a: Bytes, b: Bytes): number {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? a.length - b.length : (a[at] ?? 0) - (b[at] ?? -1);
}

function hex(bytes: Bytes): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function decode(base64: string): Bytes | null {
  if (base64.length > KEY_CHARACTERS || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}
