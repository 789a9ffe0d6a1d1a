/**
 * Runs cms.ts and s3.ts for the Go tests: reads commands from the standard input, one JSON object a
 * line, and writes the result of each to the standard output. Bytes are in base64.
 */

import { Buffer } from "node:buffer";
import { readRecipient, type Recipient, seal } from "../cms.ts";
import { type Destination, type ObjectLock, S3 } from "../s3.ts";
import type { Bytes } from "../token.ts";

interface Command {
  /** The keys for which `content` is sealed. */
  readonly recipients?: string[];
  readonly content?: string;
  /** Otherwise, the bucket that is called. */
  readonly destination?: Destination;
  readonly call?: string;
  readonly key?: string;
  readonly version?: string;
  readonly lock?: { readonly mode: ObjectLock["mode"]; readonly until: string };
  readonly expected?: { readonly size: number; readonly sha256: string };
  /** How much later than now it is by the client's clock, in milliseconds. */
  readonly later?: number;
  readonly next?: string;
}

function bytes(base64 = ""): Bytes {
  return new Uint8Array(Buffer.from(base64, "base64"));
}

async function run(command: Command): Promise<unknown> {
  const { recipients, content, destination, call, key = "", version = null } = command;
  if (recipients !== undefined) {
    const read = await Promise.all(recipients.map(readRecipient));
    const problem = read.find((recipient) => typeof recipient === "string");
    if (problem !== undefined) return { message: problem };
    const known = read as Recipient[];
    const sealed = await seal(bytes(content), known);
    return { sealed: Buffer.from(sealed).toString("base64"), keys: known.map((r) => r.keyId) };
  }
  if (destination === undefined) throw new Error("there is nothing to do");
  const s3 = new S3(destination, {
    fetch: (url, init) => fetch(url, init),
    now: () => new Date(Date.now() + (command.later ?? 0)),
    sleep: () => Promise.resolve(),
    timer: (ms, callback) => {
      const id = setTimeout(callback, ms);
      return () => clearTimeout(id);
    },
  });
  const lock = command.lock === undefined
    ? null
    : { mode: command.lock.mode, until: new Date(command.lock.until) };
  const expected = { size: 0, sha256: "", ...command.expected, lock };
  switch (call) {
    case "put":
      return await s3.put(key, bytes(content), { lock });
    case "head":
      return await s3.head(key, version);
    case "get":
      return await s3.get(key, 1 << 20, version);
    case "verify":
      return await s3.verify(key, expected, version);
    case "verifyContent":
      return await s3.verifyContent(key, expected, version);
    case "delete":
      return await s3.delete(key, version) ?? {};
    case "lockConfiguration":
      return await s3.lockConfiguration();
    case "versioning":
      return await s3.versioning();
    case "list":
      return await s3.list(key, command.next ?? null, 2);
    default:
      throw new Error(`there is no call ${call}`);
  }
}

let rest = "";
for await (const chunk of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) {
    // deno-lint-ignore no-console -- the Go test reads it
    console.log(JSON.stringify(await run(JSON.parse(line))));
  }
}
