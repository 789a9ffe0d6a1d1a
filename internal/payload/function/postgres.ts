/**
 * A PostgreSQL client with what the off-site copy needs, and nothing else: one connection, one
 * statement at a time, parameters and rows as text, and results that are larger than the memory.
 */

import { parseUrl, type Target } from "./database.ts";
import { SUPABASE_ROOT } from "./roots.ts";
import { Authentication } from "./scram.ts";
import type { Timer } from "./supabase.ts";
import {
  cancelRequest,
  Fields,
  malformed,
  type Message,
  PostgresProblem,
  Reader,
  readError,
  readSome,
  reasonOf,
  type Socket,
  type Sockets,
  SSL_REQUEST,
  startup,
  statement,
  TERMINATE,
  writeAll,
} from "./wire.ts";

export { PostgresProblem, type Socket, type Sockets } from "./wire.ts";

/** How a connection is opened. */
export interface OpenOptions {
  readonly sockets: Sockets;
  readonly timer: Timer;
  /** How long the opening may take, in milliseconds. */
  readonly timeoutMs: number;
  /** What pg_stat_activity shows. */
  readonly applicationName: string;
  /** Settings of the session, by name. Poolers refuse most of them. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The largest row, in bytes, and the largest result of query(); 64 MiB unless told. */
  readonly largest?: number;
}

/** The largest message before the login is complete, in bytes. */
const LARGEST_BEFORE_LOGIN = 64 * 1024;

const LARGEST = 64 * 1024 * 1024;

/** How long ending a statement or a session may take, in milliseconds. */
const END_TIMEOUT = 2000;

/** Where a session is, and the key by which another connection ends its statement. */
interface Cancellation {
  readonly target: Target;
  readonly encrypted: boolean;
  readonly key: Uint8Array | null;
}

/** A session of a database. */
export class Postgres {
  readonly #options: OpenOptions;
  readonly #socket: Socket;
  readonly #reader: Reader;
  readonly #cancellation: Cancellation;
  #busy = false;
  /** Why the connection can no longer be used. */
  #broken: PostgresProblem | null = null;

  private constructor(
    options: OpenOptions,
    socket: Socket,
    reader: Reader,
    cancellation: Cancellation,
  ) {
    this.#options = options;
    this.#socket = socket;
    this.#reader = reader;
    this.#cancellation = cancellation;
  }

  /** Connects and logs in. */
  static async open(url: string, options: OpenOptions): Promise<Postgres | PostgresProblem> {
    const target = parseUrl(url);
    if (target instanceof PostgresProblem) return target;
    const line = new Line(options.sockets, target);
    const { timer, timeoutMs } = options;
    try {
      return await timely(timer, timeoutMs, () => line.close(), async () => {
        const { socket, encrypted } = await line.connect(target.encryption);
        const reader = new Reader(socket, LARGEST_BEFORE_LOGIN);
        const key = await logIn(socket, reader, target, encrypted, options);
        reader.limit = options.largest ?? LARGEST;
        return new Postgres(options, socket, reader, { target, encrypted, key });
      });
    } catch (error) {
      line.close();
      if (error instanceof PostgresProblem) return error;
      throw error;
    }
  }

  /**
   * Runs one statement, whose parameters are texts or null. Returns its rows as PostgreSQL prints
   * their values.
   */
  async query(
    sql: string,
    parameters: readonly (string | null)[],
    timeoutMs: number,
  ): Promise<{ rows: (string | null)[][] } | PostgresProblem> {
    const rows: (string | null)[][] = [];
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const largest = this.#options.largest ?? LARGEST;
    let size = 0;
    const result = await this.#run(sql, parameters, timeoutMs, ({ body }) => {
      size += body.length;
      if (size > largest) {
        throw new PostgresProblem("database_error", `the result is larger than ${largest} bytes`);
      }
      const fields = new Fields(body);
      rows.push(Array.from({ length: fields.int16() }, () => {
        const length = fields.int32();
        if (length === -1) return null;
        const bytes = fields.bytes(length);
        try {
          return decoder.decode(bytes);
        } catch {
          throw malformed("a value is not UTF-8");
        }
      }));
    });
    return result instanceof PostgresProblem ? result : { rows };
  }

  /**
   * Runs one statement whose rows have one text each, and calls `row` with the bytes of each, which
   * are valid until it returns. Returns the number of rows. Where it returns a problem, `row` may
   * have been called with a part of the rows. It needs little memory: the server waits until `row`
   * has returned, and no row is copied.
   */
  async stream(
    sql: string,
    parameters: readonly (string | null)[],
    timeoutMs: number,
    row: (bytes: Uint8Array) => void,
  ): Promise<number | PostgresProblem> {
    return await this.#run(sql, parameters, timeoutMs, ({ body }) => {
      const fields = new Fields(body);
      const columns = fields.int16();
      const length = columns === 1 ? fields.int32() : 0;
      if (columns !== 1 || length === -1) {
        throw new PostgresProblem("database_error", "a row to stream is not one text");
      }
      row(fields.bytes(length));
    });
  }

  /** Ends the session. */
  async close(): Promise<void> {
    if (this.#broken !== null) return;
    this.#broken = new PostgresProblem("database_lost", "the connection was closed");
    await timely(this.#options.timer, END_TIMEOUT, () => {}, () => {
      return writeAll(this.#socket, TERMINATE);
    }).catch(() => {});
    closeQuietly(this.#socket);
  }

  /**
   * Runs one statement and calls back with each row. Returns the number of rows. What the callback
   * throws ends the session and is thrown.
   */
  async #run(
    sql: string,
    parameters: readonly (string | null)[],
    timeoutMs: number,
    row: (message: Message) => void,
  ): Promise<number | PostgresProblem> {
    if (this.#busy) throw new Error("a statement of this connection is still running");
    if (this.#broken !== null) {
      return new PostgresProblem("database_lost", this.#broken.message, this.#broken.sqlstate);
    }
    const messages = statement(sql, parameters);
    this.#busy = true;
    try {
      return await timely(
        this.#options.timer,
        timeoutMs,
        (late) => this.#broken = late,
        async () => {
          await writeAll(this.#socket, messages);
          return await this.#answer(row);
        },
      );
    } catch (error) {
      const problem = error instanceof PostgresProblem ? error : null;
      this.#broken ??= problem ?? new PostgresProblem("database_lost", "the caller gave up");
      // A pooler forgets the key, and leaves the statement running, when the connection is closed.
      if (problem?.code === "database_timeout") await this.#cancel();
      closeQuietly(this.#socket);
      if (problem === null) throw error;
      return problem;
    } finally {
      this.#busy = false;
    }
  }

  /** Reads what the server answers to a statement, up to the message that it is ready again. */
  async #answer(row: (message: Message) => void): Promise<number | PostgresProblem> {
    let rows = 0;
    let problem: PostgresProblem | null = null;
    let tag: string | null = null;
    for (;;) {
      const message = this.#reader.take();
      if (message === null) {
        await this.#reader.fill();
        // Nobody waits for the rows that arrived at the last moment.
        if (this.#broken !== null) throw this.#broken;
        continue;
      }
      switch (message.type) {
        case "D":
          if (tag !== null || problem !== null) throw malformed("a row comes after the last one");
          rows++;
          row(message);
          break;
        case "C":
          tag = new Fields(message.body).text();
          break;
        case "I":
          tag = "";
          break;
        case "E": {
          const { text, sqlstate, fatal } = readError(message.body);
          if (fatal) throw new PostgresProblem("database_lost", text, sqlstate);
          problem = new PostgresProblem("database_error", text, sqlstate);
          break;
        }
        case "Z": {
          if (problem !== null) return problem;
          if (tag === null) throw malformed("a statement ends without a result");
          const count = /^SELECT (\d+)$/.exec(tag)?.[1];
          // CREATE TABLE AS counts the rows that it keeps.
          if (count !== undefined && rows > 0 && Number(count) !== rows) {
            throw malformed(`${rows} of ${count} rows came`);
          }
          return rows;
        }
        case "1": // The statement was parsed.
        case "2": // It was bound to the parameters.
        case "A": // Somebody notifies.
        case "N": // A notice.
        case "S": // A setting has changed.
          break;
        case "G":
        case "H":
        case "W":
          throw new PostgresProblem(
            "database_error",
            "COPY to or from the client is not supported",
          );
        default:
          throw malformed(`a message of type ${JSON.stringify(message.type)} comes unexpected`);
      }
    }
  }

  /** Makes the server end the statement that nobody waits for any longer, if that is possible. */
  async #cancel(): Promise<void> {
    const { target, encrypted, key } = this.#cancellation;
    if (key === null) return;
    const { sockets, timer } = this.#options;
    const line = new Line(sockets, target);
    await timely(timer, END_TIMEOUT, () => line.close(), async () => {
      const { socket } = await line.connect(encrypted ? "required" : "off");
      await writeAll(socket, cancelRequest(key));
      // The server closes the connection when it has passed the request on.
      await readSome(socket, new Uint8Array(1));
    }).catch(() => {});
    line.close();
  }
}

/** A connection that is being made. */
class Line {
  readonly #sockets: Sockets;
  readonly #target: Target;
  #socket: Socket | null = null;
  #closed = false;

  constructor(sockets: Sockets, target: Target) {
    this.#sockets = sockets;
    this.#target = target;
  }

  /** Connects, and encrypts the connection as far as is wanted. */
  async connect(
    encryption: Target["encryption"],
  ): Promise<{ socket: Socket; encrypted: boolean }> {
    const { hostname, port } = this.#target;
    let socket: Socket;
    try {
      socket = await this.#sockets.connect(hostname, port);
    } catch (error) {
      throw new PostgresProblem("database_unreachable", reasonOf(error));
    }
    this.#keep(socket);
    if (encryption === "off") return { socket, encrypted: false };
    await writeAll(socket, SSL_REQUEST);
    const answer = new Uint8Array(16);
    const count = await readSome(socket, answer);
    // What follows the answer would otherwise count as encrypted, and anybody could have sent it.
    if (count > 1) throw insecure("the server says more than whether it encrypts the connection");
    switch (String.fromCharCode(answer[0] ?? 0)) {
      case "S":
        break;
      case "N":
        if (encryption === "preferred") return { socket, encrypted: false };
        throw insecure("the server does not encrypt connections");
      default:
        throw insecure("the server does not say whether it encrypts connections");
    }
    try {
      const secure = await socket.startTls(hostname, [SUPABASE_ROOT]);
      this.#keep(secure);
      return { socket: secure, encrypted: true };
    } catch (error) {
      if (error instanceof PostgresProblem) throw error;
      if (encryption === "required") throw insecure(reasonOf(error));
      // In a private network, a server with a certificate of its own is as good as one without.
      closeQuietly(socket);
      return await this.connect("off");
    }
  }

  /** Closes the connection, also if it is made only later. */
  close(): void {
    this.#closed = true;
    if (this.#socket !== null) closeQuietly(this.#socket);
  }

  #keep(socket: Socket): void {
    this.#socket = socket;
    if (!this.#closed) return;
    closeQuietly(socket);
    throw new PostgresProblem("database_lost", "the connection was given up");
  }
}

function insecure(why: string): PostgresProblem {
  return new PostgresProblem("database_tls", `the connection cannot be secured: ${why}`);
}

/** Begins a session. Returns the key by which its statements can be ended. */
async function logIn(
  socket: Socket,
  reader: Reader,
  target: Target,
  encrypted: boolean,
  options: OpenOptions,
): Promise<Uint8Array | null> {
  const { user, password, database } = target;
  const settings: [string, string][] = [
    ["user", user],
    ["database", database],
    ["client_encoding", "UTF8"],
    ["application_name", options.applicationName],
    ...Object.entries(options.settings ?? {}),
  ];
  if (target.options !== null) settings.push(["options", target.options]);
  await writeAll(socket, startup(settings));
  const nonce = crypto.randomUUID() + crypto.randomUUID();
  const authentication = new Authentication({ user, password, encrypted, nonce });
  let key: Uint8Array | null = null;
  let complete = false;
  for (;;) {
    const message = await reader.next();
    switch (message.type) {
      case "R": {
        if (complete) throw malformed("the login is complete already");
        const answer = await authentication.respond(message);
        if (answer === "complete") complete = true;
        else if (answer !== "waiting") await writeAll(socket, answer);
        break;
      }
      case "E": {
        const { text, sqlstate } = readError(message.body);
        const code = sqlstate === "28P01" ? "database_password" : "database_refused";
        throw new PostgresProblem(code, text, sqlstate);
      }
      case "K":
        key = message.body.slice();
        break;
      case "N":
      case "S":
        break;
      case "Z":
        if (!complete) throw malformed("the login is not complete");
        return key;
      default:
        throw malformed(`a message of type ${JSON.stringify(message.type)} comes unexpected`);
    }
  }
}

/** Does something within a time, and otherwise calls `late` and gives up. */
function timely<T>(
  timer: Timer,
  ms: number,
  late: (problem: PostgresProblem) => void,
  work: () => Promise<T>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = timer(ms, () => {
      const problem = new PostgresProblem("database_timeout", `no answer within ${ms / 1000} s`);
      late(problem);
      reject(problem);
    });
    work().then(resolve, reject).finally(stop);
  });
}

function closeQuietly(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // It is closed already.
  }
}
