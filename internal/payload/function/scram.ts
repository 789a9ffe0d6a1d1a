/** How the server makes sure of the password, and the client of the server. */

import type { Bytes } from "./token.ts";
import {
  concat,
  Fields,
  int32,
  malformed,
  type Message,
  message,
  PostgresProblem,
  text,
} from "./wire.ts";

/** Who logs in, and by what kind of connection. */
export interface Login {
  readonly user: string;
  readonly password: string;
  /** Whether the connection is encrypted, and the server verified by its certificate. */
  readonly encrypted: boolean;
  /** A random text for SCRAM. */
  readonly nonce: string;
}

/** The most rounds of hashing that a server may ask for. PostgreSQL's default is 4096. */
const MOST_ITERATIONS = 1_000_000;

const encoder = new TextEncoder();

/** The client's side of a login, message by message. */
export class Authentication {
  readonly #login: Login;
  #clientFirst = "";
  #serverSignature: Bytes | null = null;
  /** Whether the server may say that the login is complete. */
  #complete: boolean;

  constructor(login: Login) {
    this.#login = login;
    // Without a password, only a certificate shows that the server is the right one.
    this.#complete = login.encrypted;
  }

  /** Reads a message of type R. Returns the answer, "waiting" if there is none yet, or "complete". */
  async respond({ body }: Message): Promise<Bytes | "waiting" | "complete"> {
    const fields = new Fields(body);
    const { user, password, encrypted } = this.#login;
    const kind = fields.int32();
    switch (kind) {
      case 0:
        if (!this.#complete) throw refused("the server does not show that it knows the password");
        return "complete";
      case 3:
        if (!encrypted) throw refused("the server wants the password without encryption");
        return message("p", text(password));
      case 5: {
        if (!encrypted) throw refused("the server wants an MD5 digest without encryption");
        const inner = encoder.encode(md5(encoder.encode(password + user)));
        return message("p", text("md5" + md5(concat([inner, fields.bytes(4)]))));
      }
      case 10:
        return this.#begin(fields);
      case 11:
        return await this.#continue(decode(fields));
      case 12:
        return this.#finish(decode(fields));
      default:
        throw refused(`the server wants a kind of login that is not known (${kind})`);
    }
  }

  #begin(fields: Fields): Bytes {
    const mechanisms: string[] = [];
    while (fields.left > 1) mechanisms.push(fields.text());
    if (!mechanisms.includes("SCRAM-SHA-256")) {
      throw refused("the server does not offer SCRAM-SHA-256");
    }
    this.#complete = false;
    // PostgreSQL takes the user from the first message of the session.
    this.#clientFirst = `n=,r=${this.#login.nonce}`;
    const first = encoder.encode(`n,,${this.#clientFirst}`);
    return message("p", text("SCRAM-SHA-256"), int32(first.length), first);
  }

  async #continue(serverFirst: string): Promise<Bytes> {
    const parts = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+=*),i=([1-9]\d{0,9})$/
      .exec(serverFirst);
    const [, nonce = "", salt = "", rounds = ""] = parts ?? [];
    const own = this.#login.nonce;
    if (!nonce.startsWith(own) || nonce.length === own.length) {
      throw malformed("its part of SCRAM is not right");
    }
    const iterations = Number(rounds);
    if (iterations > MOST_ITERATIONS) throw refused(`the server asks for ${rounds} iterations`);
    // Of SASLprep, this is what matters for passwords that people choose.
    const password = encoder.encode(this.#login.password.normalize("NFKC"));
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const salted = new Uint8Array(
      await crypto.subtle.deriveBits(
        { name: "PBKDF2", hash: "SHA-256", salt: fromBase64(salt), iterations },
        key,
        256,
      ),
    );
    const clientKey = await hmac(salted, "Client Key");
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const withoutProof = `c=biws,r=${nonce}`;
    const exchange = `${this.#clientFirst},${serverFirst},${withoutProof}`;
    const signature = await hmac(storedKey, exchange);
    const proof = clientKey.map((byte, i) => byte ^ (signature[i] ?? 0));
    this.#serverSignature = await hmac(await hmac(salted, "Server Key"), exchange);
    const base64 = btoa(String.fromCharCode(...proof));
    return message("p", encoder.encode(`${withoutProof},p=${base64}`));
  }

  #finish(serverFinal: string): "waiting" {
    const value = /^v=([A-Za-z0-9+/]+=*)(,|$)/.exec(serverFinal)?.[1];
    const want = this.#serverSignature;
    if (value === undefined || want === null) throw malformed("its part of SCRAM is not right");
    const got = fromBase64(value);
    let difference = got.length ^ want.length;
    for (const [i, byte] of want.entries()) difference |= byte ^ (got[i] ?? 0);
    if (difference !== 0) throw refused("the server does not know the password");
    this.#complete = true;
    return "waiting";
  }
}

function refused(what: string): PostgresProblem {
  return new PostgresProblem("database_refused", `the login was given up: ${what}`);
}

function decode(fields: Fields): string {
  return new TextDecoder().decode(fields.bytes(fields.left));
}

function fromBase64(value: string): Bytes {
  try {
    return Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
  } catch {
    throw malformed("its part of SCRAM is not right");
  }
}

async function hmac(secret: Bytes, value: string): Promise<Bytes> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(value)));
}

/** How far MD5 rotates in each group of four steps of its four rounds. */
const ROTATIONS = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]] as const;

/** MD5 in lower-case hexadecimal. Web Crypto does not have it, and old password entries need it. */
export function md5(bytes: Uint8Array): string {
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n, true);
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  for (let block = 0; block < padded.length; block += 64) {
    let [a = 0, b = 0, c = 0, d = 0] = state;
    for (let step = 0; step < 64; step++) {
      const round = step >> 4;
      const mixed = [b & c | ~b & d, d & b | ~d & c, b ^ c ^ d, c ^ (b | ~d)][round] ?? 0;
      const word = ([step, 5 * step + 1, 3 * step + 5, 7 * step][round] ?? 0) % 16;
      const constant = Math.floor(Math.abs(Math.sin(step + 1)) * 2 ** 32) | 0;
      const sum = a + mixed + constant + view.getInt32(block + word * 4, true) | 0;
      const by = ROTATIONS[round as 0 | 1 | 2 | 3][(step % 4) as 0 | 1 | 2 | 3];
      [a, d, c, b] = [d, c, b, b + (sum << by | sum >>> 32 - by) | 0];
    }
    for (const [i, value] of [a, b, c, d].entries()) state[i] = (state[i] ?? 0) + value;
  }
  return Array.from(new Uint8Array(state.buffer), (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
