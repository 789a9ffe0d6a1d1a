/**
 * Measures what a part of a copy costs the function, which is 8 MB of rows. It prints a line with
 * figures per MB of rows: the CPU time in milliseconds that gzip at level 3, sealing for two
 * recipients, and the digest of the result take on the thread that runs the function, which is what
 * the platform limits; and what all of it takes on all threads. After them is the peak of the
 * process's memory in MB, before the first part and after the last. It needs Linux and all
 * permissions.
 */

import { gzipSync } from "node:zlib";
import { readRecipient, type Recipient, seal } from "../cms.ts";
import { sha256 } from "../sigv4.ts";
import type { Bytes } from "../token.ts";

const PARTS = 6;
const PART_BYTES = 8_000_000;

/** CPU time of this thread in milliseconds. */
function threadTime(): number {
  return Number(Deno.readTextFileSync("/proc/thread-self/schedstat").split(" ")[0]) / 1e6;
}

/** CPU time of all threads in milliseconds. The kernel counts hundredths of a second. */
function processTime(): number {
  const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function peak(): number {
  const kilobytes = /^VmHWM:\s+(\d+)/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1];
  return Number(kilobytes) / 1000;
}

/** Rows of text that shrink to a third, as articles do. */
function rows(): Bytes {
  const words =
    ("a de que o e do da em um para com não uma os no se na por mais as dos como mas foi " +
      "ao ele das tem à seu sua ou ser quando muito há nos já está eu também só pelo pela até isso")
      .split(" ");
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) % 0x80000000;
    return Math.floor(seed / 0x80000000 * below);
  };
  const lines: string[] = [];
  for (let size = 0; size < PART_BYTES;) {
    const content: string[] = [];
    for (let i = 0; i < 150; i++) {
      content.push(words[random(words.length)] ?? "", random(1e4).toString(36));
    }
    const line = JSON.stringify({ id: crypto.randomUUID(), content: content.join(" ") }) + "\n";
    size += line.length;
    lines.push(line);
  }
  return new TextEncoder().encode(lines.join(""));
}

async function recipient(): Promise<Recipient> {
  const algorithm = {
    ...{ name: "RSA-OAEP", hash: "SHA-256", modulusLength: 3072 },
    publicExponent: Uint8Array.of(1, 0, 1),
  };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["encrypt", "decrypt"]);
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const read = await readRecipient(btoa(String.fromCharCode(...spki)));
  if (typeof read === "string") throw new Error(read);
  return read;
}

const recipients = [await recipient(), await recipient()];
const raw = rows();

/** CPU times of this thread. */
const times = { gzip: 0, seal: 0, digest: 0 };

async function timed<T>(step: keyof typeof times, work: () => T | Promise<T>): Promise<T> {
  const begin = threadTime();
  const result = await work();
  times[step] += threadTime() - begin;
  return result;
}

async function part(): Promise<void> {
  const { buffer, byteOffset, length } = await timed("gzip", () => gzipSync(raw, { level: 3 }));
  const packed = new Uint8Array(buffer as ArrayBuffer, byteOffset, length);
  const sealed = await timed("seal", () => seal(packed, recipients));
  await timed("digest", () => sha256(sealed));
}

const before = peak();
await part(); // compiles everything
Object.assign(times, { gzip: 0, seal: 0, digest: 0 });
const begin = processTime();
for (let i = 0; i < PARTS; i++) await part();
const costs = [times.gzip, times.seal, times.digest, processTime() - begin];
const figures = [...costs.map((ms) => ms * 1e6 / PARTS / raw.length), before, peak()];
Deno.stdout.writeSync(new TextEncoder().encode(figures.map((n) => n.toFixed(2)).join(" ") + "\n"));
