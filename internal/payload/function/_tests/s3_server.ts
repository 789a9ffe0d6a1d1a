/** S3 services for tests: servers on this machine that answer as told, and a client's surroundings. */

import { Buffer } from "node:buffer";
import { S3, type S3Options } from "../s3.ts";

export const KEY_ID = "AKIATESTTESTTEST";
export const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/** When the clock of a Bench begins. */
export const NOW = Date.parse("2026-11-27T06:00:00Z");

/** A call as the server got it. */
export interface Got {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Answers a call: with a response, or by itself on the connection, which is closed then. */
export type Answer = (
  got: Got,
  bench: Bench,
  connection: Deno.Conn,
) => Response | void | Promise<Response | void>;

/** The surroundings of a client, in which waiting takes no time, and the calls that it has made. */
export class Bench {
  readonly got: Got[] = [];
  readonly pauses: number[] = [];
  readonly timeouts: number[] = [];
  clock = NOW;
  #late = () => {};

  readonly options: S3Options = {
    fetch: (url, init) => fetch(url, init),
    now: () => new Date(this.clock),
    sleep: (ms) => {
      this.pauses.push(ms);
      this.clock += ms;
      return Promise.resolve();
    },
    timer: (ms, callback) => {
      this.timeouts.push(ms);
      this.#late = () => {
        this.clock += ms;
        callback();
      };
      return () => this.#late = () => {};
    },
  };

  /** Lets the time of the current attempt be over. */
  expire(): void {
    this.#late();
  }

  client(endpoint: string, options: Partial<S3Options> = {}): S3 {
    return new S3(
      { endpoint, region: "eu-west-1", bucket: "b", accessKeyId: KEY_ID, secretAccessKey: SECRET },
      { ...this.options, ...options },
    );
  }
}

/** Runs a test with a server that gives one answer after the other, and the last one for ever. */
export async function withServer(
  answers: readonly Answer[],
  test: (endpoint: string, bench: Bench) => Promise<void>,
): Promise<void> {
  const bench = new Bench();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const connection of listener) {
      connections.push(
        serve(connection, answers, bench).catch(() => {}).finally(() => connection.close()),
      );
    }
  })();
  try {
    await test(`http://127.0.0.1:${(listener.addr as Deno.NetAddr).port}`, bench);
  } finally {
    listener.close();
    await accepting;
    await Promise.all(connections);
  }
}

async function serve(connection: Deno.Conn, answers: readonly Answer[], bench: Bench) {
  const got = await receive(connection);
  if (got === null) return;
  const answer = answers[Math.min(bench.got.push(got), answers.length) - 1];
  const response = await answer?.(got, bench, connection);
  if (response === undefined) return;
  const bytes = new Uint8Array(await response.arrayBuffer());
  const headers = new Headers(response.headers);
  if (!headers.has("content-length")) headers.set("content-length", String(bytes.length));
  headers.set("connection", "close");
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  await send(connection, `HTTP/1.1 ${response.status} x\r\n${lines}\r\n`);
  if (got.method !== "HEAD") await send(connection, bytes);
}

/** With this byte a TLS client begins. */
const CLIENT_HELLO = 0x16;

/** Reads one request, whose body has a Content-Length. */
async function receive(connection: Deno.Conn): Promise<Got | null> {
  let received = Buffer.alloc(0);
  const chunk = new Uint8Array(65536);
  for (;;) {
    const end = received.indexOf("\r\n\r\n");
    const head = received.subarray(0, Math.max(0, end)).toString("latin1");
    const [line = "", ...fields] = head.split("\r\n");
    const headers = new Headers(fields.map((field): [string, string] => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon), field.slice(colon + 1)];
    }));
    const body = received.subarray(end + 4);
    if (end >= 0 && body.length >= Number(headers.get("content-length"))) {
      const [method = "", target = ""] = line.split(" ");
      const [path = "", query = ""] = target.split("?");
      return { method, path, query: new URLSearchParams(query), headers, body };
    }
    const size = await connection.read(chunk);
    if (size === null) return null;
    received = Buffer.concat([received, chunk.subarray(0, size)]);
    if (received[0] === CLIENT_HELLO) {
      await send(connection, "HTTP/1.1 400 Bad Request\r\n\r\n");
      return null;
    }
  }
}

/** Writes to a connection. */
export async function send(connection: Deno.Conn, data: string | Uint8Array): Promise<void> {
  for (let rest = Buffer.from(data as string); rest.length > 0;) {
    rest = rest.subarray(await connection.write(rest));
  }
}

/** Sends a beginning, and then lets the caller's time be over. */
export function hang(beginning: string): Answer {
  return async (_, bench, connection) => {
    await send(connection, beginning);
    bench.expire();
    // The caller closes the connection.
    await connection.read(new Uint8Array(1)).catch(() => {});
  };
}

/** Sends some bytes and closes the connection. */
export function raw(text: string): Answer {
  return (_, __, connection) => send(connection, text);
}

/** An error in S3's words. */
export function s3Error(
  status: number,
  code: string,
  message: string,
  more = "",
  headers: Record<string, string> = {},
): Answer {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code>` +
    `<Message>${message}</Message>${more}<RequestId>4442587FB7D0A2F9</RequestId></Error>`;
  return () =>
    new Response(xml, { status, headers: { "content-type": "application/xml", ...headers } });
}

/** Any other answer. */
export function plain(
  status: number,
  body = "",
  headers: Record<string, string> = {},
): Answer {
  return () => new Response(status === 204 ? null : body, { status, headers });
}
