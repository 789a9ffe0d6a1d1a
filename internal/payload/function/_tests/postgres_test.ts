import assert from "node:assert/strict";
import { Postgres, PostgresProblem } from "../postgres.ts";
import { concat, message, text } from "../wire.ts";
import {
  BEGIN,
  Bell,
  complete,
  type Connection,
  failure,
  FakeServer,
  KEY,
  login,
  READY,
  row,
  scram,
  serving,
  WELCOME,
  welcome,
} from "./server.ts";

const ADDRESS = "postgresql://postgres:secret@db:5433/app?sslmode=disable";
const encoder = new TextEncoder();
const decoder = new TextDecoder();

function options(server: FakeServer, bell: Bell = new Bell(), largest?: number) {
  return {
    sockets: server,
    timer: bell.timer,
    timeoutMs: 1000,
    applicationName: "auto-backup export",
    ...largest === undefined ? {} : { largest },
  };
}

async function open(server: FakeServer, bell?: Bell, largest?: number): Promise<Postgres> {
  const session = await Postgres.open(ADDRESS, options(server, bell, largest));
  if (session instanceof PostgresProblem) throw session;
  return session;
}

/** The code and the text of a problem. */
function told(result: unknown): string {
  assert(result instanceof PostgresProblem, `there is no problem: ${JSON.stringify(result)}`);
  assert(!result.message.includes("canary") && !result.message.includes("secret"), result.message);
  return `${result.code}: ${result.message}`;
}

// The messages are those of the protocol, byte by byte: the server's own tests know no other client.
Deno.test("postgres: a session from the login to its end", async () => {
  let startup = "";
  const types: string[] = [];
  const bodies: Uint8Array[] = [];
  const server = new FakeServer(async (connection) => {
    startup = decoder.decode(await connection.receiveFirst());
    assert(await scram(connection));
    connection.send(WELCOME);
    const statement = await connection.receiveStatement();
    types.push(statement.types);
    bodies.push(...statement.bodies);
    connection.send(BEGIN, row("ç", null, ""), row("\ufeffx", "2", "3"), complete("SELECT 2"));
    types.push((await connection.receiveMessage()).type);
  });
  const bell = new Bell();
  const session = await Postgres.open(`${ADDRESS}&options=reference%3Dabc`, {
    ...options(server, bell),
    settings: { search_path: "", timezone: "UTC" },
  });
  assert(session instanceof Postgres);
  const result = await session.query("select $1, $2", ["é", null], 5000);
  assert.deepEqual(result, { rows: [["ç", null, ""], ["\ufeffx", "2", "3"]] });
  await session.close();
  await server.connections[0]?.gone();
  assert.equal(
    startup,
    "\0\x03\0\0user\0postgres\0database\0app\0client_encoding\0UTF8\0" +
      "application_name\0auto-backup export\0search_path\0\0timezone\0UTC\0" +
      "options\0reference=abc\0\0",
  );
  assert.deepEqual(types, ["PBES", "X"]);
  assert.deepEqual(bodies.map((body) => decoder.decode(body)), [
    "\0select $1, $2\0\0\0",
    "\0\0\0\0\0\x02\0\0\0\x02é" + decoder.decode(Uint8Array.of(255, 255, 255, 255)) + "\0\0",
    "\0\0\0\0\0",
    "",
  ]);
  assert.deepEqual(bell.waiting, []);
  assert.deepEqual(server.errors, []);
  assert.equal(server.connections[0]?.hostname, "db");
  assert.equal(server.connections[0]?.port, 5433);
  assert.equal(
    told(await session.query("select", [], 1)),
    "database_lost: the connection was closed",
  );
  await session.close();
});

// Notices, settings and notifications come at any time and change nothing, and an error, also in the
// middle of the rows, leaves the session usable.
Deno.test("postgres: what comes between the messages of a statement", async () => {
  const noise = concat([
    message("N", encoder.encode("Mcanary\0\0")),
    message("S", text("a"), text("b")),
    message("A", encoder.encode("abcd"), text("channel"), text("")),
  ]);
  const server = new FakeServer(serving(
    [noise, BEGIN, noise, row("1"), noise, row("2"), noise, complete("SELECT 2"), noise],
    [noise, message("1"), noise, message("I"), noise, READY],
    [BEGIN, row("1"), noise, failure("22012", "division by zero"), noise, READY, noise],
    [failure("42601", "syntax error"), READY],
    [BEGIN, row("3"), complete("UPDATE 1")],
    [BEGIN, complete("SELECT 4")], // CREATE TABLE AS
  ));
  const session = await open(server);
  assert.deepEqual(await session.query("1", [], 5000), { rows: [["1"], ["2"]] });
  assert.deepEqual(await session.query("2", [], 5000), { rows: [] });
  for (const want of ["22012: division by zero", "42601: syntax error"]) {
    const problem = await session.query("3", [], 5000);
    assert.equal(told(problem), `database_error: ${want.slice(7)}`);
    assert.equal((problem as PostgresProblem).sqlstate, want.slice(0, 5));
  }
  assert.deepEqual(await session.query("5", [], 5000), { rows: [["3"]] });
  assert.deepEqual(await session.query("6", [], 5000), { rows: [] });
  assert.equal(server.connections[0]?.closed, false);
});

// Where the server or the connection fails, the result says so and the session is closed; nothing
// that was cut off counts as a whole result.
Deno.test("postgres: an answer that is not whole is not a result", async () => {
  const broken: Record<string, [Uint8Array[], RegExp, string?]> = {
    "the backend is killed": [
      [BEGIN, row("1"), failure("57P01", "terminating connection", "FATAL")],
      /^database_lost: terminating connection$/,
      "57P01",
    ],
    "a row is missing": [[BEGIN, row("1"), complete("SELECT 2")], /^database_lost: .* 1 of 2 rows/],
    "no result": [[BEGIN, READY], /^database_lost: .* ends without a result$/],
    "a row after the end": [[BEGIN, message("C", text("UPDATE 1")), row("1")], /^database_lost/],
    "a row after an error": [[BEGIN, failure("22012", "x"), row("1")], /^database_lost/],
    "an unknown message": [[BEGIN, message("q")], /^database_lost: .*"q" comes unexpected$/],
    "COPY out": [[BEGIN, message("H")], /^database_error: COPY/],
    "COPY in": [[BEGIN, message("G")], /^database_error: COPY/],
    "COPY both": [[BEGIN, message("W")], /^database_error: COPY/],
    "an impossible length": [
      [encoder.encode("D\0\0\0\x03")],
      /^database_lost: .*impossible length$/,
    ],
    "a negative length": [[encoder.encode("D"), Uint8Array.of(255, 0, 0, 0)], /^database_lost/],
    "a long message": [
      [encoder.encode("D\x7f\0\0\0")],
      /^database_error: .* 2130706432 bytes, and the limit is 1000 bytes$/,
    ],
    "a long result": [
      Array.from({ length: 3 }, () => row("x".repeat(500))),
      /^database_error: the result is larger than 1000 bytes$/,
    ],
    "more columns than bytes": [[message("D", Uint8Array.of(0, 2))], /^database_lost: .*shorter/],
    "a value longer than its row": [
      [message("D", Uint8Array.of(0, 1, 0, 0, 0, 2, 65))],
      /^database_lost: .*shorter/,
    ],
    "a value of a negative length": [
      [message("D", Uint8Array.of(0, 1, 255, 255, 255, 254))],
      /^database_lost: .*shorter/,
    ],
    "a text without an end": [
      [message("C", encoder.encode("SELECT"))],
      /^database_lost: .*no end$/,
    ],
    "an error without an end": [
      [message("E", encoder.encode("Mx\0"))],
      /^database_lost: .*shorter/,
    ],
    "bytes that are not UTF-8": [
      [message("D", Uint8Array.of(0, 1, 0, 0, 0, 1, 0xff))],
      /^database_lost: .*UTF-8/,
    ],
  };
  for (const [name, [answer, want, sqlstate]] of Object.entries(broken)) {
    const server = new FakeServer(serving(answer));
    const bell = new Bell();
    const session = await open(server, bell, 1000);
    const problem = await session.query("x", [], 5000);
    assert.match(told(problem), want, name);
    assert.equal((problem as PostgresProblem).sqlstate, sqlstate, name);
    assert(server.connections[0]?.closed, name);
    assert.equal(server.connections.length, 1, name);
    assert.match(told(await session.query("x", [], 5000)), /^database_lost/, name);
    assert.deepEqual([bell.waiting, server.errors], [[], []], name);
  }
});

// An error of the server without a message or a code is one nevertheless.
Deno.test("postgres: an error without fields", async () => {
  const server = new FakeServer(serving([message("E", Uint8Array.of(0)), READY]));
  const problem = await (await open(server)).query("x", [], 5000);
  assert.equal(told(problem), "database_error: ");
  assert.equal((problem as PostgresProblem).sqlstate, "XX000");
});

// A long text of the server is cut.
Deno.test("postgres: a long message is cut", async () => {
  const server = new FakeServer(serving([failure("XX000", "x".repeat(5000)), READY]));
  assert(told(await (await open(server)).query("x", [], 5000)).length < 1100);
});

Deno.test("postgres: a connection that ends or breaks is lost", async () => {
  const ways: Record<string, (connection: Connection) => void> = {
    "the server closed the connection": (connection) => connection.end(),
    "connection reset by peer": (connection) => connection.break("connection reset by peer"),
  };
  for (const [reason, lose] of Object.entries(ways)) {
    for (const rows of [[], [BEGIN, row("1"), row("2").subarray(0, 7)]]) {
      const server = new FakeServer(async (connection) => {
        await welcome(connection);
        await connection.receiveStatement();
        connection.send(...rows);
        lose(connection);
      });
      const session = await open(server);
      const problem = await session.stream("x", [], 5000, () => {});
      assert.equal(told(problem), `database_lost: the connection broke: ${reason}`);
    }
  }
  // The server has gone between two statements.
  const server = new FakeServer(async (connection) => {
    await welcome(connection);
    connection.end();
  });
  const session = await open(server);
  assert.match(told(await session.query("x", [], 5000)), /^database_lost: /);
});

// Rows are handed over one by one, and a row that is not one text ends the session.
Deno.test("postgres: rows are streamed", async () => {
  const texts = ["", "ação", "x".repeat(300_000), '{"a":1}', "y".repeat(262_134), "z"];
  const server = new FakeServer(serving(
    [BEGIN, ...texts.map((text) => row(text)), complete(`SELECT ${texts.length}`)],
    [BEGIN, complete("SELECT 0")],
    [BEGIN, row("1"), failure("57014", "canceling statement"), READY],
  ));
  const session = await open(server);
  const rows: string[] = [];
  const keep = (bytes: Uint8Array) => rows.push(decoder.decode(bytes));
  assert.equal(await session.stream("x", [], 5000, keep), texts.length);
  assert.equal(await session.stream("x", [], 5000, () => assert.fail()), 0);
  assert.deepEqual(rows, texts);
  assert.match(told(await session.stream("x", [], 5000, () => {})), /^database_error: canceling/);
  for (const bad of [row(null), row("a", "b"), row()]) {
    const server = new FakeServer(serving([BEGIN, bad, complete("SELECT 1")]));
    const session = await open(server);
    const problem = await session.stream("x", [], 5000, () => assert.fail());
    assert.equal(told(problem), "database_error: a row to stream is not one text");
    assert(server.connections[0]?.closed);
  }
});

// What the callback throws reaches the caller, and what else would come is not taken for the answer to
// another statement.
Deno.test("postgres: a failure of the caller ends the session", async () => {
  const server = new FakeServer(serving([BEGIN, row("1"), row("2"), complete("SELECT 2")]));
  const bell = new Bell();
  const session = await open(server, bell);
  const seen: number[] = [];
  const streamed = session.stream("x", [], 5000, (bytes) => {
    seen.push(bytes.length);
    throw new RangeError("full");
  });
  await assert.rejects(streamed, new RangeError("full"));
  assert.deepEqual([seen, server.connections[0]?.closed, bell.waiting], [[1], true, []]);
  assert.match(told(await session.query("x", [], 5000)), /^database_lost/);
});

// Two statements at once would get each other's rows, and a zero byte would end a message early.
Deno.test("postgres: what callers must not do is refused", async () => {
  const server = new FakeServer(serving([], [BEGIN, complete("SELECT 0")]));
  const session = await open(server);
  await assert.rejects(session.query("a\0b", [], 5000), /zero byte/);
  const first = session.query("x", [], 5000);
  await assert.rejects(session.query("x", [], 5000), /still running/);
  server.connections[0]?.send(BEGIN, complete("SELECT 0"));
  assert.deepEqual(await first, { rows: [] });
  assert.deepEqual(await session.query("x", [], 5000), { rows: [] });
});

// The rows do not depend on how what arrives is split: any splits give the same ones.
Deno.test("postgres: messages are found wherever reads split them", async () => {
  let seed = 20261127;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  for (let round = 0; round < 40; round++) {
    const largest = [3, 40, 5000, 100_000][round % 4] ?? 1;
    const sizes = Array.from(
      { length: 1 + random(largest > 5000 ? 5 : 30) },
      () => random(2 * largest),
    );
    if (round % 4 === 3) sizes.push(262_120 + random(30), 400_000 + random(9));
    const texts = sizes.map((size, i) => `${i}é`.repeat(size).slice(0, size));
    const answer = texts.flatMap((text) => random(3) > 0 ? [row(text)] : [message("N"), row(text)]);
    const server = new FakeServer(async (connection) => {
      connection.split = () => 1 + random(largest);
      await welcome(connection);
      for (let n = 0; n < 2; n++) {
        await connection.receiveStatement();
        connection.send(BEGIN, ...answer, complete(`SELECT ${texts.length}`));
      }
    });
    const session = await open(server);
    const streamed: string[] = [];
    const count = await session.stream("x", [], 5000, (b) => streamed.push(decoder.decode(b)));
    assert.deepEqual([count, streamed], [texts.length, texts]);
    const result = await session.query("x", [], 5000);
    assert.deepEqual(result, { rows: texts.map((text) => [text]) });
  }
});

// A statement that takes too long is ended in the database, by the key of its session, and the rows
// that come at the last moment reach nobody.
Deno.test("postgres: a late statement is ended", async () => {
  let request: Uint8Array | null = null;
  const server: FakeServer = new FakeServer(async (connection) => {
    await welcome(connection);
    await connection.receiveStatement();
    connection.send(BEGIN, row("1".repeat(500)));
  }, async (connection) => {
    request = await connection.receiveFirst();
    // A pooler forgets the key when the session's connection is closed.
    assert.equal(server.connections[0]?.closed, false);
    connection.end();
  });
  const bell = new Bell();
  const session = await open(server, bell);
  let rows = 0;
  const streamed = session.stream("x", [], 7000, () => {
    rows++;
    // The rest arrives while the time is over.
    queueMicrotask(() => {
      server.connections[0]?.send(row("2"));
      void bell.ring(7000);
    });
  });
  assert.equal(told(await streamed), "database_timeout: no answer within 7 s");
  assert.equal(rows, 1);
  assert.deepEqual(request, concat([Uint8Array.of(4, 210, 22, 46), KEY]));
  assert.deepEqual(server.connections.map(({ closed }) => closed), [true, true]);
  assert.deepEqual([bell.waiting, server.errors], [[], []]);
  assert.equal(
    told(await session.query("x", [], 5000)),
    "database_lost: no answer within 7 s",
  );
});

// The limit is that of a message with its length.
Deno.test("postgres: the largest row", async () => {
  for (const [size, want] of [[990, "990"], [991, "database_error"]] as const) {
    const server = new FakeServer(serving([BEGIN, row("x".repeat(size)), complete("SELECT 1")]));
    const session = await open(server, undefined, 1000);
    let length = 0;
    const result = await session.stream("x", [], 5000, (bytes) => length = bytes.length);
    assert.equal(result instanceof PostgresProblem ? result.code : `${length}`, want);
  }
});

// Nothing that goes wrong while a statement is ended makes the caller wait, or hides the timeout.
Deno.test("postgres: ending a late statement is given up, too", async () => {
  for (const unending of [true, false]) {
    const server = new FakeServer(serving([BEGIN]), async (connection) => {
      if (unending) await connection.gone();
      else connection.break("connection reset by peer");
    });
    const bell = new Bell();
    const session = await open(server, bell);
    const late = session.query("x", [], 7000);
    await bell.ring(7000);
    if (unending) await bell.ring(2000);
    assert.match(told(await late), /^database_timeout/);
    assert.deepEqual(server.connections.map(({ closed }) => closed), [true, true]);
  }
  // A session without a key, as some poolers give it, cannot be ended.
  const keyless = concat([login(0), READY]);
  const server = new FakeServer(async (connection) => {
    await connection.receiveFirst();
    await scram(connection);
    connection.send(keyless);
  });
  const bell = new Bell();
  const session = await open(server, bell);
  const late = session.query("x", [], 7000);
  await bell.ring(7000);
  assert.match(told(await late), /^database_timeout/);
  assert.equal(server.connections.length, 1);
});

// The end of a session does not wait for a server that no longer reads.
Deno.test("postgres: closing is given up after a time", async () => {
  const server = new FakeServer(serving());
  const bell = new Bell();
  const session = await open(server, bell);
  const [connection] = server.connections;
  assert(connection !== undefined);
  connection.socket.write = () => new Promise(() => {});
  const closed = session.close();
  await bell.ring(2000);
  await closed;
  assert(connection.closed);
});
