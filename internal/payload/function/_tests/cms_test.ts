/**
 * What cms.ts seals, as OpenSSL sees it. The keys are made by OpenSSL too, so this needs the program
 * `openssl`, version 3 or later.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readRecipient, type Recipient, seal } from "../cms.ts";
import type { Bytes } from "../token.ts";

interface Result {
  readonly status: number;
  readonly stdout: Bytes;
  readonly stderr: string;
}

/** Runs openssl and returns what it says. */
async function openssl(...args: string[]): Promise<Result> {
  const command = new Deno.Command("openssl", { args, stdin: "null" });
  const { code, stdout, stderr } = await command.output();
  return { status: code, stdout, stderr: new TextDecoder().decode(stderr) };
}

async function ran(...args: string[]): Promise<Bytes> {
  const { status, stdout, stderr } = await openssl(...args);
  assert.equal(status, 0, `openssl ${args.join(" ")}: ${stderr}`);
  return stdout;
}

function base64(bytes: Bytes): string {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

interface Key {
  /** The file with the private key. */
  readonly file: string;
  /** The public key in DER. */
  readonly spki: Bytes;
}

/** Makes a private key with `openssl genpkey` and these options. */
async function makeKey(file: string, ...options: string[]): Promise<Key> {
  await ran("genpkey", "-quiet", "-out", file, ...options);
  return { file, spki: await ran("pkey", "-in", file, "-pubout", "-outform", "DER") };
}

function makeRsaKey(file: string, ...options: string[]): Promise<Key> {
  return makeKey(file, "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072", ...options);
}

async function recipient({ spki }: Key): Promise<Recipient> {
  const read = await readRecipient(base64(spki));
  assert(typeof read !== "string", String(read));
  return read;
}

/** Where the keys are: two of recipients, and that of somebody else. To make them takes seconds. */
const DIRECTORY = await Deno.makeTempDir();
addEventListener("unload", () => Deno.removeSync(DIRECTORY, { recursive: true }));
const path = (name: string) => `${DIRECTORY}/${name}`;
const [A, B, STRANGER] = await Promise.all([
  makeRsaKey(path("a")),
  makeRsaKey(path("b"), "-pkeyopt", "rsa_keygen_pubexp:3"),
  makeRsaKey(path("stranger")),
]);
const RECIPIENTS = await Promise.all([A, B].map(recipient));

/** Opens as the recovery instructions do. Returns null where openssl refuses. */
async function open(key: Key, sealed: Bytes): Promise<Bytes | null> {
  const [input, output] = [path(crypto.randomUUID()), path(crypto.randomUUID())];
  await Deno.writeFile(input, sealed);
  const args = ["-decrypt", "-binary", "-inform", "DER", "-inkey", key.file];
  const { status } = await openssl("cms", ...args, "-in", input, "-out", output);
  const opened = status === 0 ? await Deno.readFile(output) : null;
  for (const file of [input, output]) await Deno.remove(file).catch(() => {});
  return opened;
}

function sample(length: number): Bytes {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65536));
  }
  return bytes;
}

const equal = (a: Bytes, b: Bytes) => a.length === b.length && a.every((byte, i) => byte === b[i]);

// Every recipient opens every length with the private key alone: those around the steps of DER's
// lengths, and a part of a backup. Somebody else opens nothing.
for (const length of [0, 1, 127, 128, 255, 256, 65535, 65536, 9_000_000]) {
  Deno.test(`cms: OpenSSL opens ${length} sealed bytes`, async () => {
    const plain = sample(length);
    const sealed = await seal(plain, RECIPIENTS);
    for (const key of [A, B]) {
      const opened = await open(key, sealed);
      assert(opened !== null && equal(opened, plain), key.file);
    }
    assert.equal(await open(STRANGER, sealed), null);
  });
}

// A key is accepted only if everybody computes the same ID of it, and everything that encrypts for it
// works on both versions of Deno.
Deno.test("cms: which keys are accepted", async () => {
  const read = await recipient(A);
  // The ID is what the shell computes: openssl pkey -pubout -outform DER | sha256sum.
  await Deno.writeFile(path("spki"), A.spki);
  const digest = new TextDecoder().decode(await ran("dgst", "-sha256", "-r", path("spki")));
  assert.equal(read.keyId, digest.slice(0, 40));
  assert(equal(read.spki, A.spki));
  const largest = await readRecipient(base64(ofBits(4096)));
  assert(typeof largest !== "string", String(largest));
  assert((await seal(sample(1), [largest])).length > 4096 / 8);

  const curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
  const pss = ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:1024"];
  const longForm = Uint8Array.of(0x30, 0x83, 0, ...A.spki.subarray(2));
  for (
    const [text, problem] of [
      [base64(ofBits(2048)), /^the key has 2048 bits; use an RSA key with 3072 to 4096$/],
      [base64(ofBits(3064)), /^the key has 3064 bits; /],
      [base64(ofBits(4104)), /^the key has 4104 bits; /],
      [
        base64((await makeKey(path("ec"), ...curve)).spki),
        /^the key is not the SubjectPublicKeyInfo of/,
      ],
      [
        base64((await makeKey(path("pss"), ...pss)).spki),
        /^the key is not the SubjectPublicKeyInfo of/,
      ],
      [
        base64(Uint8Array.of(...A.spki, 0)),
        /^the key is not the SubjectPublicKeyInfo of an RSA key/,
      ],
      [base64(A.spki.subarray(1)), /^the key is not the SubjectPublicKeyInfo of an RSA key/],
      [base64(longForm), /^the key is not the SubjectPublicKeyInfo of an RSA key/],
      [base64(A.spki).replace(/.$/, "!"), /^the key is not valid base64$/],
      [base64(A.spki).slice(0, 5), /^the key is not valid base64$/],
      [` ${base64(A.spki)}`, /^the key is not valid base64$/],
      ["A".repeat(4100), /^the key is not valid base64$/],
      ["", /^the key is not valid base64$/],
    ] as const
  ) {
    assert.match(String(await readRecipient(text)), problem, text.slice(0, 20));
  }
});

/** The SubjectPublicKeyInfo of an RSA key with an odd modulus of this length, which nobody has. */
function ofBits(bits: number): Bytes {
  const modulus = crypto.getRandomValues(new Uint8Array(bits / 8));
  modulus[0] = 0xc0;
  modulus[modulus.length - 1] = 1;
  const tlv = (tag: number, ...content: number[]): number[] => {
    const size = content.length;
    return [tag, ...size < 128 ? [size] : [0x82, size >> 8, size & 0xff], ...content];
  };
  const rsaEncryption = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];
  const key = tlv(0x30, ...tlv(0x02, 0, ...modulus), ...tlv(0x02, 1, 0, 1));
  return Uint8Array.from(tlv(0x30, ...tlv(0x30, ...rsaEncryption), ...tlv(0x03, 0, ...key)));
}

/** An element of DER: where its tag, its content and its end are. */
interface Element {
  readonly tag: number;
  readonly begin: number;
  readonly content: number;
  readonly end: number;
  readonly children: readonly Element[];
}

/** Reads DER, and refuses lengths that are longer than they need to be. */
function parse(bytes: Bytes, begin: number, end: number): Element[] {
  const elements: Element[] = [];
  for (let at = begin; at < end;) {
    const [tag = 0, first = 0] = bytes.subarray(at, at + 2);
    const octets = first < 0x80 ? 0 : first & 0x7f;
    const content = at + 2 + octets;
    const size = bytes.subarray(at + 2, content).reduce((sum, byte) => sum * 256 + byte, 0);
    const length = octets === 0 ? first : size;
    assert(octets === 0 || length >= 0x80 && length >= 256 ** (octets - 1), `a length at ${at}`);
    assert(content + length <= end, `an element at ${at} ends after what contains it`);
    const children = (tag & 0x20) === 0 ? [] : parse(bytes, content, content + length);
    elements.push({ tag, begin: at, content, end: content + length, children });
    at = content + length;
  }
  return elements;
}

// The structure of the standards, in DER, as OpenSSL prints it: nothing is missing, nothing is there
// beside it, and the members of the SET OF are sorted.
Deno.test("cms: the structure", async () => {
  const recipients = [...RECIPIENTS, await recipient(STRANGER)];
  const sealed = await seal(sample(200), recipients);
  await Deno.writeFile(path("sealed"), sealed);
  const asn1 = ["asn1parse", "-inform", "DER", "-in", path("sealed")];
  const lines = new TextDecoder().decode(await ran(...asn1)).trimEnd().split("\n");
  const shown = lines.map((line) => {
    const [, depth, text = ""] = /:d= *(\d+) +hl= *\d+ +l= *\d+ +\w+: +(.*)/.exec(line) ?? [line];
    return `${depth} ${text.replace(/ *\[HEX DUMP\]:.*/, "").replace(/ +:/, ":").trim()}`;
  });
  const info = [
    "4 SEQUENCE",
    "5 INTEGER:02",
    "5 cont [ 0 ]",
    "5 SEQUENCE",
    "6 OBJECT:rsaesOaep",
    "6 SEQUENCE",
    "7 cont [ 0 ]",
    "8 SEQUENCE",
    "9 OBJECT:sha256",
    "7 cont [ 1 ]",
    "8 SEQUENCE",
    "9 OBJECT:mgf1",
    "9 SEQUENCE",
    "10 OBJECT:sha256",
    "5 OCTET STRING",
  ];
  const printed = new TextDecoder().decode(
    await ran("cms", "-cmsout", "-print", "-inform", "DER", "-in", path("sealed")),
  );
  // The first line of a dump has 15 bytes.
  const dumps = printed.replaceAll("-", " ");
  for (const { keyId } of recipients) {
    assert(dumps.includes(keyId.slice(0, 30).replace(/..(?=.)/g, "$& ")), keyId);
  }
  for (
    const wanted of [
      /contentType: id-smime-ct-authEnvelopedData \(1\.2\.840\.113549\.1\.9\.16\.1\.23\)/,
      /version: 0\n\s+originatorInfo: <ABSENT>/,
      /d\.ktri: \n\s+version: 2/,
      /algorithm: rsaesOaep \(1\.2\.840\.113549\.1\.1\.7\)/,
      /contentType: pkcs7-data \(1\.2\.840\.113549\.1\.7\.1\)/,
      /algorithm: aes-256-gcm \(2\.16\.840\.1\.101\.3\.4\.1\.46\)/,
      /authAttrs:\n\s+<ABSENT>\n\s+mac: \n/,
      /unauthAttrs:\n\s+<ABSENT>\n/,
    ]
  ) assert.match(printed, wanted);
  assert.deepEqual(
    shown,
    [
      "0 SEQUENCE",
      "1 OBJECT:id-smime-ct-authEnvelopedData",
      "1 cont [ 0 ]",
      "2 SEQUENCE",
      "3 INTEGER:00",
      "3 SET",
      ...info,
      ...info,
      ...info,
      "3 SEQUENCE",
      "4 OBJECT:pkcs7-data",
      "4 SEQUENCE",
      "5 OBJECT:aes-256-gcm",
      "5 SEQUENCE",
      "6 OCTET STRING",
      "6 INTEGER:10",
      "4 cont [ 0 ]",
      "3 OCTET STRING",
    ],
  );
  const [root] = parse(sealed, 0, sealed.length);
  const set = root?.children[1]?.children[0]?.children[1]?.children ?? [];
  const infos = set.map(({ begin, end }) => sealed.subarray(begin, end));
  assert.equal(infos.length, 3);
  for (const [i, info] of infos.slice(1).entries()) {
    assert(Buffer.compare(infos[i] ?? info, info) < 0, "the recipients are not sorted");
  }
});

// Every content has a key and a nonce of its own: nothing but the structure is the same twice.
Deno.test("cms: nothing is sealed twice in the same way", async () => {
  const to = RECIPIENTS.slice(0, 1);
  const plain = sample(64);
  const parts = await Promise.all([1, 2].map(async () => {
    const sealed = await seal(plain, to);
    const [root] = parse(sealed, 0, sealed.length);
    const [, infos, content, tag] = root?.children[1]?.children[0]?.children ?? [];
    const found = [
      infos?.children[0]?.children[3],
      content?.children[1]?.children[1]?.children[0],
      content?.children[2],
      tag,
    ];
    return found.map((element) => base64(sealed.subarray(element?.content, element?.end)));
  }));
  const [first = [], second = []] = parts;
  assert.deepEqual(first.map((part) => atob(part).length), [384, 12, 64, 16]);
  for (const [i, part] of first.entries()) assert.notEqual(part, second[i]);
  await assert.rejects(seal(plain, []), /^Error: there is no recipient$/);
});

// A damaged file never opens as something else: OpenSSL refuses it, or gives exactly what was sealed
// where only what it does not use is damaged, such as the identifier of the key.
Deno.test("cms: no damaged byte opens as something else", async () => {
  const plain = new TextEncoder().encode("a row");
  const sealed = await seal(plain, RECIPIENTS.slice(0, 1));
  const [root] = parse(sealed, 0, sealed.length);
  const envelope = root?.children[1]?.children[0];
  const [, infos, content, tag] = envelope?.children ?? [];
  const [, identifier, , wrapped] = infos?.children[0]?.children ?? [];
  const [, algorithm, ciphertext] = content?.children ?? [];
  const nonce = algorithm?.children[1]?.children[0];
  const within = (at: number, ...elements: (Element | undefined)[]) =>
    elements.some((e) => e !== undefined && e.content <= at && at < e.end);
  // Of what is random, a few bytes; of the structure, all.
  const places = [...sealed.keys()].filter((at) =>
    within(at, wrapped, identifier) ? at % 64 === 0 : within(at, nonce, tag) ? at % 4 === 0 : true
  );
  const accepted: number[] = [];
  const next = places.values();
  await Promise.all([1, 2].map(async () => {
    for (const at of next) {
      const opened = await open(A, sealed.with(at, (sealed[at] ?? 0) ^ (1 << at % 8)));
      if (opened === null) continue;
      assert(equal(opened, plain), `byte ${at} has changed the content`);
      accepted.push(at);
    }
  }));
  for (const at of accepted) assert(!within(at, wrapped, nonce, ciphertext, tag), `byte ${at}`);
  // Most of the structure counts.
  assert(accepted.length < places.length / 3, `${accepted.length} of ${places.length}`);
  for (const cut of [0, 1, sealed.length / 2, sealed.length - 1]) {
    assert.equal(await open(A, sealed.slice(0, cut)), null, `${cut} bytes`);
  }
});
