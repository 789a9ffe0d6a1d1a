/**
 * A PostgreSQL server in memory, for tests: a script says what each connection gets. What the client
 * reads is split as a test wants, and what it writes arrives in pieces.
 */

import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import type { Socket, Sockets } from "../postgres.ts";
import type { Timer } from "../supabase.ts";
import { concat, int32, message, text } from "../wire.ts";

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** The server's end of a connection. */
export class Connection {
  readonly hostname: string;
  readonly port: number;
  /** The name and the certificates by which the client verified the server, once it is encrypted. */
  tls: { hostname: string; certificates: string[] } | null = null;
  /** Why the client cannot encrypt the connection. */
  untrusted: string | null = null;
  /** Whether the client closed it. */
  closed = false;
  /** How many bytes the client may read at once. */
  split: () => number = () => Infinity;
  #sent: Uint8Array = new Uint8Array();
  #ended = false;
  #broken: Error | null = null;
  #received: Uint8Array = new Uint8Array();
  #wake: (() => void)[] = [];

  constructor(hostname: string, port: number) {
    this.hostname = hostname;
    this.port = port;
  }

  /** The client's end. */
  readonly socket: Socket = {
    read: async (buffer) => {
      for (;;) {
        if (this.closed) throw new Error("operation canceled");
        if (this.#broken !== null) throw this.#broken;
        if (this.#sent.length > 0) break;
        if (this.#ended) return null;
        await this.#change();
      }
      const count = Math.min(buffer.length, this.#sent.length, Math.max(1, this.split()));
      buffer.set(this.#sent.subarray(0, count));
      this.#sent = this.#sent.subarray(count);
      return count;
    },
    write: (bytes) => {
      if (this.closed || this.#ended) return Promise.reject(new Error("broken pipe"));
      const count = Math.ceil(bytes.length / 2);
      this.#received = concat([this.#received, bytes.subarray(0, count)]);
      this.#changed();
      return Promise.resolve(count);
    },
    close: () => {
      if (this.closed) throw new Error("bad resource");
      this.closed = true;
      this.#changed();
    },
    startTls: (hostname, certificates) => {
      if (this.untrusted !== null) return Promise.reject(new Error(this.untrusted));
      this.tls = { hostname, certificates };
      return Promise.resolve(this.socket);
    },
  };

  /** Sends bytes. */
  send(...parts: readonly Uint8Array[]): void {
    this.#sent = concat([this.#sent, ...parts]);
    this.#changed();
  }

  /** Ends the connection after what was sent. */
  end(): void {
    this.#ended = true;
    this.#changed();
  }

  /** Breaks the connection. */
  break(reason: string): void {
    this.#broken = new Error(reason);
    this.#changed();
  }

  /** Receives a number of bytes. */
  async receive(count: number): Promise<Uint8Array> {
    while (this.#received.length < count) await this.#change();
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }

  /** Receives a message without a type, as before the login. */
  async receiveFirst(): Promise<Uint8Array> {
    const length = await this.receive(4);
    return await this.receive(new DataView(length.slice().buffer).getInt32(0) - 4);
  }

  /** Receives a message. */
  async receiveMessage(): Promise<{ type: string; body: Uint8Array }> {
    const type = decoder.decode(await this.receive(1));
    return { type, body: await this.receiveFirst() };
  }

  /** Receives a statement: the types of the messages, and their bytes. */
  async receiveStatement(): Promise<{ types: string; bodies: Uint8Array[] }> {
    let types = "";
    const bodies: Uint8Array[] = [];
    while (!types.endsWith("S")) {
      const { type, body } = await this.receiveMessage();
      types += type;
      bodies.push(body);
    }
    return { types, bodies };
  }

  /** Resolves when the client has closed the connection. */
  async gone(): Promise<void> {
    while (!this.closed) await this.#change();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #changed(): void {
    for (const resolve of this.#wake.splice(0)) resolve();
  }
}

/** A server whose connections follow scripts, the last one again and again. */
export class FakeServer implements Sockets {
  readonly connections: Connection[] = [];
  /** What scripts throw. */
  readonly errors: unknown[] = [];
  readonly #scripts: ((connection: Connection) => Promise<void> | void)[];

  constructor(...scripts: ((connection: Connection) => Promise<void> | void)[]) {
    this.#scripts = scripts;
  }

  connect(hostname: string, port: number): Promise<Socket> {
    const connection = new Connection(hostname, port);
    const script = this.#scripts[this.connections.length] ?? this.#scripts.at(-1);
    this.connections.push(connection);
    Promise.resolve(connection).then(script).catch((error) => this.errors.push(error));
    return Promise.resolve(connection.socket);
  }
}

/** A timer that rings when the test says so. */
export class Bell {
  readonly waiting: { ms: number; callback: () => void }[] = [];
  #wake: (() => void)[] = [];

  timer: Timer = (ms, callback) => {
    const entry = { ms, callback };
    this.waiting.push(entry);
    for (const resolve of this.#wake.splice(0)) resolve();
    return () => {
      const at = this.waiting.indexOf(entry);
      if (at >= 0) this.waiting.splice(at, 1);
    };
  };

  /** Rings the timer of so many milliseconds as soon as it is set. */
  async ring(ms: number): Promise<void> {
    for (;;) {
      const entry = this.waiting.find((entry) => entry.ms === ms);
      if (entry !== undefined) return entry.callback();
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}

/** A message about the login. */
export function login(kind: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return message("R", int32(kind), ...parts);
}

/** The key of a session: its process and its secret. */
export const KEY = Uint8Array.of(0, 0, 48, 57, 0xca, 0xfe, 0xba, 0xbe);

/** What comes after a successful login. */
export const WELCOME = concat([
  login(0),
  message("S", text("server_version"), text("15.8")),
  message("K", KEY),
  message("Z", encoder.encode("I")),
]);

/** What a server may change in its part of SCRAM. */
export interface ScramFaults {
  readonly nonce?: (client: string) => string;
  readonly iterations?: string;
  readonly salt?: string;
  readonly signature?: (right: string) => string;
  readonly password?: string;
}

/** The server's part of SCRAM-SHA-256, up to the proof. Returns false if the password is wrong. */
export async function scram(
  connection: Connection,
  { nonce = (own) => own + "SERVER", iterations = "4096", salt, signature, password }: ScramFaults =
    {},
): Promise<boolean> {
  connection.send(login(10, text("SCRAM-SHA-256-PLUS"), text("SCRAM-SHA-256"), text("")));
  const first = decoder.decode((await connection.receiveMessage()).body);
  const [, bare = "", own = ""] = /^SCRAM-SHA-256\0[^]{4}n,,(n=,r=([!-+\x2d-~]+))$/.exec(first) ??
    [];
  if (own.length < 24) throw new Error(`the client begins with ${JSON.stringify(first)}`);
  const all = nonce(own);
  const usedSalt = salt ?? btoa("saltsaltsaltsalt");
  const serverFirst = `r=${all},s=${usedSalt},i=${iterations}`;
  connection.send(login(11, encoder.encode(serverFirst)));
  const final = decoder.decode((await connection.receiveMessage()).body);
  const [, without = "", proof = ""] = /^(c=biws,r=.*),p=(.*)$/.exec(final) ?? [];
  const salted = pbkdf2Sync(
    password ?? "secret",
    atob(usedSalt),
    Number(iterations),
    32,
    "sha256",
  );
  const hmac = (key: Uint8Array, value: string) => createHmac("sha256", key).update(value).digest();
  const clientKey = hmac(salted, "Client Key");
  const exchange = `${bare},${serverFirst},${without}`;
  const check = hmac(createHash("sha256").update(clientKey).digest(), exchange);
  const want = clientKey.map((byte, i) => byte ^ (check[i] ?? 0));
  const right = btoa(String.fromCharCode(...want)) === proof;
  const own64 = hmac(hmac(salted, "Server Key"), exchange).toString("base64");
  if (right) connection.send(login(12, encoder.encode(`v=${(signature ?? ((v) => v))(own64)}`)));
  return right;
}

/** An error as the server reports it. */
export function failure(sqlstate: string, text: string, severity = "ERROR"): Uint8Array {
  const fields = {
    S: "ERRO",
    V: severity,
    C: sqlstate,
    M: text,
    D: "canary",
    H: "canary",
    W: "canary",
  };
  const parts = Object.entries(fields).map(([name, value]) => encoder.encode(`${name}${value}\0`));
  return message("E", ...parts, Uint8Array.of(0));
}

/** A row of texts. */
export function row(...values: (string | null)[]): Uint8Array {
  const parts = values.map((value) => {
    if (value === null) return int32(-1);
    const bytes = encoder.encode(value);
    return concat([int32(bytes.length), bytes]);
  });
  return message("D", Uint8Array.of(values.length >> 8, values.length), ...parts);
}

/** What comes before the rows of a statement. */
export const BEGIN = concat([message("1"), message("2")]);

/** What comes after them. */
export function complete(tag: string): Uint8Array {
  return concat([message("C", text(tag)), READY]);
}

export const READY = message("Z", encoder.encode("I"));

/** Logs a client in by SCRAM, without encryption. */
export async function welcome(connection: Connection): Promise<void> {
  await connection.receiveFirst();
  if (!await scram(connection)) throw new Error("the proof is wrong");
  connection.send(WELCOME);
}

/** Serves statements after the login: each gets what the callback returns for it. */
export function serving(
  ...answers: readonly (readonly Uint8Array[])[]
): (connection: Connection) => Promise<void> {
  return async (connection) => {
    await welcome(connection);
    for (const answer of answers) {
      await connection.receiveStatement();
      connection.send(...answer);
    }
  };
}
