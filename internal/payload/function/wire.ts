/**
 * The messages of PostgreSQL's protocol 3.0: what a client sends, and how those of the server are
 * found in the bytes that arrive. Only postgres.ts and scram.ts need it.
 */

import { clip } from "./clean.ts";
import type { Bytes } from "./token.ts";

/** The part of a connection that is used. */
export interface Socket {
  /** Reads what has arrived, at least one byte, into a buffer. Returns null at the end. */
  read(buffer: Uint8Array): Promise<number | null>;
  /** Writes the beginning of some bytes, and returns how many they were. */
  write(bytes: Uint8Array): Promise<number>;
  /** Ends the connection at once. A read or a write that waits fails. */
  close(): void;
  /**
   * Encrypts the connection, which must not be used otherwise from then on. It fails unless the
   * server's certificate is for this host, and signed by one of the certificates, which are in PEM,
   * or by one that the runtime trusts.
   */
  startTls(hostname: string, certificates: string[]): Promise<Socket>;
}

/** Makes connections. */
export interface Sockets {
  connect(hostname: string, port: number): Promise<Socket>;
}

/** Why there is no result. */
export type ProblemCode =
  | "database_url"
  | "database_unreachable"
  | "database_tls"
  | "database_password"
  | "database_refused"
  | "database_timeout"
  | "database_lost"
  | "database_error";

/** Why a connection or a statement failed. It contains neither the password nor the URL. */
export class PostgresProblem extends Error {
  override readonly name = "PostgresProblem";
  /**
   * database_url: the URL cannot be used. database_unreachable: nothing accepts connections there.
   * database_tls: the connection cannot be encrypted, or the server is not the right one.
   * database_password: the password is wrong. database_refused: the server refuses the session.
   * database_timeout: there was no result in time, and the connection is closed.
   * database_lost: the connection broke, or what arrived does not belong to the protocol.
   * database_error: the statement failed; the connection can be used as long as `sqlstate` is set.
   */
  readonly code: ProblemCode;
  /** PostgreSQL's code, if the server reported the failure. */
  readonly sqlstate?: string;

  constructor(code: ProblemCode, message: string, sqlstate?: string) {
    super(message);
    this.code = code;
    if (sqlstate !== undefined) this.sqlstate = sqlstate;
  }
}

/** A message of the server. */
export interface Message {
  /** One letter. */
  readonly type: string;
  /** It is valid until the next message is taken. */
  readonly body: Uint8Array;
}

/** Reads the numbers and texts of a message. */
export class Fields {
  readonly #body: Uint8Array;
  #at = 0;

  constructor(body: Uint8Array) {
    this.#body = body;
  }

  get left(): number {
    return this.#body.length - this.#at;
  }

  int16(): number {
    const bytes = this.bytes(2);
    return (bytes[0] ?? 0) << 8 | (bytes[1] ?? 0);
  }

  int32(): number {
    return readInt32(this.bytes(4), 0);
  }

  /** The next bytes, as a part of the message. */
  bytes(length: number): Uint8Array {
    if (length < 0 || length > this.left) throw malformed("a message is shorter than it says");
    return this.#body.subarray(this.#at, this.#at += length);
  }

  /** A text up to its zero byte. */
  text(): string {
    const end = this.#body.indexOf(0, this.#at);
    if (end < 0) throw malformed("a text in a message has no end");
    const text = new TextDecoder().decode(this.#body.subarray(this.#at, end));
    this.#at = end + 1;
    return text;
  }
}

/** What is reported if the bytes of the server are not those of the protocol. */
export function malformed(what: string): PostgresProblem {
  return new PostgresProblem("database_lost", `the server does not keep to the protocol: ${what}`);
}

/** The size of the buffer for what arrives, in bytes. A longer message gets its own. */
const BUFFER = 256 * 1024;

/** Splits what arrives into messages, wherever the reads split it. */
export class Reader {
  /** The largest message that is accepted, in bytes. */
  limit: number;
  readonly #socket: Socket;
  readonly #shared = new Uint8Array(BUFFER);
  #buffer: Uint8Array = this.#shared;
  #start = 0;
  #end = 0;

  constructor(socket: Socket, limit: number) {
    this.#socket = socket;
    this.limit = limit;
  }

  /** Returns the next message if all of it has arrived. */
  take(): Message | null {
    const size = this.#size();
    if (this.#end - this.#start < size) return null;
    const body = this.#buffer.subarray(this.#start + 5, this.#start + size);
    const type = String.fromCharCode(this.#buffer[this.#start] ?? 0);
    this.#start += size;
    return { type, body };
  }

  /** Reads more of the next message, which take() has not returned. */
  async fill(): Promise<void> {
    const size = this.#size();
    const rest = this.#buffer.subarray(this.#start, this.#end);
    if (size > this.#buffer.length) {
      this.#buffer = new Uint8Array(size);
      this.#buffer.set(rest);
    } else if (this.#buffer !== this.#shared && rest.length === 0) {
      this.#buffer = this.#shared;
    } else if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
    }
    this.#start = 0;
    this.#end = rest.length;
    this.#end += await readSome(this.#socket, this.#buffer.subarray(this.#end));
  }

  /** Returns the next message. */
  async next(): Promise<Message> {
    for (;;) {
      const message = this.take();
      if (message !== null) return message;
      await this.fill();
    }
  }

  /** The size of the next message with its type and length, or 5 if that has not arrived. */
  #size(): number {
    if (this.#end - this.#start < 5) return 5;
    const length = readInt32(this.#buffer, this.#start + 1);
    if (length < 4) throw malformed("a message has an impossible length");
    if (length > this.limit) {
      throw new PostgresProblem(
        "database_error",
        `the server sends a message of ${length} bytes, and the limit is ${this.limit} bytes`,
      );
    }
    return length + 1;
  }
}

/** Reads at least one byte. */
export async function readSome(socket: Socket, buffer: Uint8Array): Promise<number> {
  const count = await socket.read(buffer).catch(lost);
  return count ?? lost("the server closed the connection");
}

/** Writes all of the bytes. */
export async function writeAll(socket: Socket, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += await socket.write(bytes.subarray(at)).catch(lost);
  }
}

function lost(reason: unknown): never {
  throw new PostgresProblem("database_lost", `the connection broke: ${reasonOf(reason)}`);
}

/** The longest text of the server or the runtime that is kept, in characters. */
const LONGEST_TEXT = 1000;

/** The text of a thrown value. */
export function reasonOf(thrown: unknown): string {
  return clip(thrown instanceof Error ? thrown.message : String(thrown), LONGEST_TEXT);
}

/**
 * Reads what the server reports as an error. Its details can contain values of rows, so they are
 * not read. `fatal` tells whether the server ends the session.
 */
export function readError(body: Uint8Array): { text: string; sqlstate: string; fatal: boolean } {
  const fields = new Fields(body);
  const found = new Map<string, string>();
  for (;;) {
    const name = String.fromCharCode(fields.bytes(1)[0] ?? 0);
    if (name === "\0") break;
    const value = fields.text();
    if ("MCV".includes(name)) found.set(name, value);
  }
  return {
    text: clip(found.get("M") ?? "", LONGEST_TEXT),
    sqlstate: found.get("C") ?? "XX000",
    fatal: !["ERROR", undefined].includes(found.get("V")),
  };
}

const encoder = new TextEncoder();

/** The request for encryption, which the server answers with one byte. */
export const SSL_REQUEST = concat([int32(8), int32(80877103)]);

/** The first message of a session. */
export function startup(settings: readonly (readonly [string, string])[]): Bytes {
  const parts = settings.flatMap(([name, value]) => [text(name), text(value)]);
  const body = concat([int32(3 << 16), ...parts, Uint8Array.of(0)]);
  return concat([int32(body.length + 4), body]);
}

/** The message that ends another session's statement. */
export function cancelRequest(key: Uint8Array): Bytes {
  return concat([int32(8 + key.length), int32(80877102), key]);
}

/** The message that ends the session. */
export const TERMINATE = message("X");

/**
 * The messages that run one statement and ask for its rows as text. They are sent at once, and
 * leave nothing behind in the session, so that poolers pass them on.
 */
export function statement(sql: string, parameters: readonly (string | null)[]): Bytes {
  const values = parameters.map((value) => {
    if (value === null) return int32(-1);
    const bytes = encoder.encode(value);
    return concat([int32(bytes.length), bytes]);
  });
  return concat([
    message("P", text(""), text(sql), int16(0)),
    message("B", text(""), text(""), int16(0), int16(values.length), ...values, int16(0)),
    message("E", text(""), int32(0)),
    message("S"),
  ]);
}

/** A message with its type and length. */
export function message(type: string, ...parts: readonly Uint8Array[]): Bytes {
  const body = concat(parts);
  return concat([encoder.encode(type), int32(body.length + 4), body]);
}

/** A text with its zero byte. */
export function text(value: string): Bytes {
  if (value.includes("\0")) throw new TypeError("a text for PostgreSQL contains a zero byte");
  return encoder.encode(value + "\0");
}

export function int32(value: number): Bytes {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

function int16(value: number): Bytes {
  return Uint8Array.of(value >>> 8, value);
}

function readInt32(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + 4);
  return a << 24 | b << 16 | c << 8 | d;
}

export function concat(parts: readonly Uint8Array[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
