import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Postgres, PostgresProblem } from "../postgres.ts";
import { SUPABASE_ROOT } from "../roots.ts";
import { md5 } from "../scram.ts";
import { concat, int32, text } from "../wire.ts";
import {
  Bell,
  type Connection,
  FakeServer,
  login,
  scram,
  type ScramFaults,
  WELCOME,
} from "./server.ts";

const PRIVATE = "postgresql://postgres:secret@db/postgres";
const PUBLIC = "postgresql://postgres:secret@db.example.com/postgres";

const encoder = new TextEncoder();

function open(url: string, server: FakeServer, bell = new Bell()) {
  const applicationName = "auto-backup export";
  return Postgres.open(url, {
    sockets: server,
    timer: bell.timer,
    timeoutMs: 1000,
    applicationName,
  });
}

/** Opens a session with a server. Returns the code and the text of the problem, or "open". */
async function attempt(url: string, ...scripts: ((c: Connection) => Promise<void> | void)[]) {
  const server = new FakeServer(...scripts);
  const bell = new Bell();
  const session = await open(url, server, bell);
  assert.deepEqual(bell.waiting, []);
  assert.deepEqual(server.errors, []);
  if (!(session instanceof PostgresProblem)) return { told: "open", server };
  assert(server.connections.every(({ closed }) => closed), "a connection is left");
  assert(!session.message.includes("secret"), session.message);
  return { told: `${session.code}: ${session.message}`, server };
}

/** Answers the request for encryption. */
async function encrypt(connection: Connection, answer = "S"): Promise<void> {
  const request = await connection.receiveFirst();
  assert.deepEqual(request, Uint8Array.of(4, 210, 22, 47));
  connection.send(encoder.encode(answer));
}

/** Logs in by messages that need no response but one. */
function asking(...messages: Uint8Array[]) {
  return async (connection: Connection) => {
    await connection.receiveFirst();
    for (const [i, message] of messages.entries()) {
      if (i > 0) await connection.receiveMessage();
      connection.send(message);
    }
  };
}

/** The same over TLS. */
function secure(script: (connection: Connection) => Promise<void>) {
  return async (connection: Connection) => {
    await encrypt(connection);
    await script(connection);
  };
}

// Without encryption, the server learns nothing from which the password follows, and has to show that
// it knows it. Over TLS its certificate is enough.
Deno.test("scram: the ways to log in", async () => {
  const plain = `${PRIVATE}?sslmode=disable`;
  const password = asking(login(3), WELCOME);
  const digest = asking(login(5, Uint8Array.of(1, 2, 3, 4)), WELCOME);
  const trust = asking(WELCOME);
  const unknown = asking(login(7));
  const refused = /^database_refused: the login was given up: the server /;
  for (const script of [password, digest, trust, unknown]) {
    assert.match((await attempt(plain, script)).told, refused);
  }
  for (const script of [password, digest, trust]) {
    assert.equal((await attempt(PUBLIC, secure(script))).told, "open");
  }
  assert.match((await attempt(PUBLIC, secure(unknown))).told, refused);
  const unsupported = login(10, text("OAUTHBEARER"), text(""));
  assert.match((await attempt(PUBLIC, secure(asking(unsupported)))).told, /SCRAM-SHA-256$/);

  const sent: string[] = [];
  const salt = Uint8Array.of(1, 2, 3, 4);
  for (const request of [login(3), login(5, salt)]) {
    await attempt(
      PUBLIC,
      secure(async (connection) => {
        await connection.receiveFirst();
        connection.send(request);
        const { type, body } = await connection.receiveMessage();
        sent.push(type + new TextDecoder().decode(body));
        connection.send(WELCOME);
      }),
    );
  }
  const hex = (...parts: (string | Uint8Array)[]) =>
    parts.reduce((hash, part) => hash.update(part), createHash("md5")).digest("hex");
  assert.deepEqual(sent, ["psecret\0", `pmd5${hex(hex("secretpostgres"), salt)}\0`]);
});

// Whoever stands in the way of the server does not know the password and cannot seem to.
Deno.test("scram: a server that does not know the password is refused", async () => {
  const cases: [ScramFaults, RegExp][] = [
    [{}, /^open$/],
    [{ iterations: "1" }, /^open$/],
    [{ nonce: (own) => own }, /^database_lost: .*SCRAM/],
    [{ nonce: (own) => own.slice(1) + "ABC" }, /^database_lost: .*SCRAM/],
    [{ nonce: () => "SERVER" }, /^database_lost: .*SCRAM/],
    [{ nonce: (own) => `${own},m=x` }, /^database_lost: .*SCRAM/],
    [{ iterations: "0" }, /^database_lost: .*SCRAM/],
    [{ iterations: "-1" }, /^database_lost: .*SCRAM/],
    [{ iterations: "1000001" }, /^database_refused: .*1000001 iterations$/],
    [{ salt: "=" }, /^database_lost: .*SCRAM/],
    [{ salt: "AAAAA" }, /^database_lost: .*SCRAM/],
    [{ signature: (right) => right.replace(/^./, right.startsWith("A") ? "B" : "A") }, /know the/],
    [{ signature: (right) => right.slice(0, 40) }, /^database_refused: .*know the password$/],
    [{ signature: (right) => btoa(atob(right) + "x") }, /^database_refused: .*know the password$/],
    [{ signature: () => "" }, /^database_lost: .*SCRAM/],
    [{ signature: () => "AAAAA" }, /^database_lost: .*SCRAM/],
  ];
  for (const [faults, want] of cases) {
    const { told } = await attempt(`${PRIVATE}?sslmode=disable`, async (connection) => {
      await connection.receiveFirst();
      const answered = scram(connection, faults).then((right) => right && connection.send(WELCOME));
      // A client that gives up sends no proof.
      await Promise.race([answered, connection.gone()]);
    });
    assert.match(told, want, JSON.stringify(faults));
  }
  const begun = login(10, text("SCRAM-SHA-256"), text(""));
  const skipped: [Uint8Array[], RegExp][] = [
    [[begun, login(0)], /^database_refused: .*does not show that it knows the password$/],
    [[begun, login(12, encoder.encode("v=AAAA"))], /^database_lost: .*SCRAM/],
    [[begun, begun, login(0)], /^database_refused/],
    [[login(11, encoder.encode("r=x,s=AAAA,i=1"))], /^database_lost: .*SCRAM/],
    [[login(12, encoder.encode("v=AAAA"))], /^database_lost: .*SCRAM/],
  ];
  for (const [messages, want] of skipped) {
    assert.match((await attempt(PUBLIC, secure(asking(...messages)))).told, want);
    assert.match((await attempt(`${PRIVATE}?sslmode=disable`, asking(...messages))).told, want);
  }
});

// SASLprep of the passwords that people have: compatible characters count as the same.
Deno.test("scram: a password beyond ASCII is normalized", async () => {
  for (const [written, known] of [["ação", "ação"], ["ﬁx\u00a0①", "fix 1"], ["a\u0303", "ã"]]) {
    const url = `postgresql://postgres:${encodeURIComponent(written ?? "")}@db?sslmode=disable`;
    const { told } = await attempt(url, async (connection) => {
      await connection.receiveFirst();
      assert(await scram(connection, { password: known ?? "" }), written);
      connection.send(WELCOME);
    });
    assert.equal(told, "open");
  }
});

// What the server says about a login, and what does not belong into one.
Deno.test("scram: a login that fails", async () => {
  const fields = (state: string) => encoder.encode(`VFATAL\0C${state}\0Mno\0Dsecret\0\0`);
  const error = (state: string) =>
    concat([encoder.encode("E"), int32(fields(state).length + 4), fields(state)]);
  const cases: [Uint8Array, RegExp][] = [
    [error("28P01"), /^database_password: no$/],
    [error("28000"), /^database_refused: no$/],
    [error("3D000"), /^database_refused: no$/],
    [error("53300"), /^database_refused: no$/],
    [encoder.encode("Z\0\0\0\x05I"), /^database_lost: .*not complete$/],
    [encoder.encode("D\0\0\0\x04"), /^database_lost: .*"D" comes unexpected$/],
    [encoder.encode("N\0\x02\0\0"), /^database_error: .*131072 bytes/],
    [encoder.encode("HTTP/1.1 400 Bad Request"), /^database_(lost|error)/],
    [concat([login(0), login(0)]), /^database_lost: .*complete already$/],
  ];
  for (const [message, want] of cases) {
    assert.match((await attempt(PUBLIC, secure(asking(message)))).told, want);
  }
  const { told } = await attempt(PUBLIC, secure((connection) => Promise.resolve(connection.end())));
  assert.match(told, /^database_lost/);
});

// Where a connection must be encrypted it is or there is none, and where it need not be, a server in a
// private network may be without it.
Deno.test("scram: encryption", async () => {
  const plainly = async (connection: Connection) => {
    await connection.receiveFirst();
    await scram(connection);
    connection.send(WELCOME);
  };
  const says = (answer: string) => (connection: Connection) => encrypt(connection, answer);
  const without = async (connection: Connection) => {
    await encrypt(connection, "N");
    await plainly(connection);
  };
  const untrusted = async (connection: Connection) => {
    connection.untrusted = "invalid peer certificate: UnknownIssuer";
    await encrypt(connection);
  };
  const cases: [string, ((c: Connection) => Promise<void>)[], RegExp, boolean][] = [
    [PUBLIC, [secure(plainly)], /^open$/, true],
    [PRIVATE, [secure(plainly)], /^open$/, true],
    [`${PRIVATE}?sslmode=require`, [secure(plainly)], /^open$/, true],
    [`${PRIVATE}?sslmode=disable`, [plainly], /^open$/, false],
    [PRIVATE, [without], /^open$/, false],
    [`${PRIVATE}?sslmode=prefer`, [without], /^open$/, false],
    [`${PRIVATE}?sslmode=require`, [without], /^database_tls: .*does not encrypt/, false],
    [PUBLIC, [without], /^database_tls: .*does not encrypt/, false],
    [`${PUBLIC}?sslmode=prefer`, [without], /^database_tls: .*does not encrypt/, false],
    [PRIVATE, [untrusted, plainly], /^open$/, false],
    [`${PRIVATE}?sslmode=verify-full`, [untrusted], /^database_tls: .*UnknownIssuer$/, false],
    [PUBLIC, [untrusted], /^database_tls: .*UnknownIssuer$/, false],
    // Bytes after the answer came without encryption, and must not count as encrypted.
    [PUBLIC, [says("SR\0\0\0\x08\0\0\0\0")], /^database_tls: .*says more/, false],
    [PRIVATE, [says("NR\0\0\0\x08\0\0\0\0")], /^database_tls: .*says more/, false],
    [PUBLIC, [says("E")], /^database_tls: .*does not say/, false],
    [PRIVATE, [says("H")], /^database_tls: .*does not say/, false],
  ];
  for (const [url, scripts, want, encrypted] of cases) {
    const { told, server } = await attempt(url, ...scripts);
    assert.match(told, want, url);
    const last = server.connections.at(-1);
    assert.equal(last?.tls !== null, encrypted, url);
    if (encrypted) {
      const hostname = url.startsWith(PUBLIC) ? "db.example.com" : "db";
      assert.deepEqual(last?.tls, { hostname, certificates: [SUPABASE_ROOT] });
    }
    assert.equal(server.connections.length, scripts.length, url);
  }
  assert.match(SUPABASE_ROOT, /^-----BEGIN CERTIFICATE-----\n[^]*\n-----END CERTIFICATE-----\n$/);
});

// A late statement of an encrypted session is ended over an encrypted connection: the key would let
// anybody end the session's statements.
Deno.test("scram: the key of a session is sent as the session's rows are", async () => {
  let request: Uint8Array | null = null;
  const server = new FakeServer(secure(asking(WELCOME)), async (connection) => {
    await encrypt(connection);
    request = await connection.receiveFirst();
    connection.end();
  });
  const bell = new Bell();
  const session = await open(PUBLIC, server, bell);
  assert(session instanceof Postgres);
  const late = session.query("x", [], 5000);
  await bell.ring(5000);
  assert((await late) instanceof PostgresProblem);
  assert.notEqual(request, null);
  assert.notEqual(server.connections[1]?.tls, null);
});

// Opening ends in time wherever it waits, and no connection is left, even one that is made too late.
Deno.test("scram: a login that takes too long", async () => {
  const waits: Record<string, (connection: Connection) => Promise<void>> = {
    "for the answer about encryption": () => Promise.resolve(),
    "for the login": (connection) => encrypt(connection),
    "for the end of the login": secure(asking(login(0))),
  };
  for (const [name, script] of Object.entries(waits)) {
    const server = new FakeServer(script);
    const bell = new Bell();
    const opened = open(PUBLIC, server, bell);
    await bell.ring(1000);
    const problem = await opened;
    assert(problem instanceof PostgresProblem && problem.code === "database_timeout", name);
    assert(server.connections.every(({ closed }) => closed), name);
  }
  const server = new FakeServer(() => {});
  const bell = new Bell();
  let connect = () => {};
  const late = new Promise<void>((resolve) => connect = resolve);
  const slow = {
    connect: (host: string, port: number) => late.then(() => server.connect(host, port)),
  };
  const opened = Postgres.open(PUBLIC, {
    sockets: slow,
    timer: bell.timer,
    timeoutMs: 1000,
    applicationName: "x",
  });
  await bell.ring(1000);
  const problem = await opened;
  assert(problem instanceof PostgresProblem && problem.code === "database_timeout");
  connect();
  while (server.connections.length === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  await server.connections[0]?.gone();
});

Deno.test("scram: a server that is not there", async () => {
  const sockets = { connect: () => Promise.reject(new Error("Connection refused (os error 111)")) };
  const { timer } = new Bell();
  const problem = await Postgres.open(PUBLIC, {
    sockets,
    timer,
    timeoutMs: 1,
    applicationName: "x",
  });
  assert(problem instanceof PostgresProblem);
  assert.equal(problem.code, "database_unreachable");
  assert.equal(problem.message, "Connection refused (os error 111)");
  const invalid = await open("canary", new FakeServer(() => assert.fail()));
  assert(invalid instanceof PostgresProblem && invalid.code === "database_url");
});

Deno.test("scram: MD5 is that of others", () => {
  for (let length = 0; length < 200; length++) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 31 + length * 7) & 255);
    assert.equal(md5(bytes), createHash("md5").update(bytes).digest("hex"), `${length}`);
  }
});
