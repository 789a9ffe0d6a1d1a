import assert from "node:assert/strict";
import contract from "../contract.json" with { type: "json" };
import { readBody, readRequest } from "../request.ts";
import { REQUEST as ORDER, RUN_ID } from "./project.ts";

const NOW = new Date("2025-03-01T06:00:01Z");
const REQUEST = { ...ORDER, sent_at: "2025-03-01T06:00:00.123456Z" };

async function send(body: BodyInit | null, type: string | null = "application/json") {
  const request = new Request("http://x/", { method: "POST", body });
  const bytes = await readBody(request, () => () => {}, contract.limits);
  return "code" in bytes ? bytes : readRequest(type, bytes, NOW, contract.limits);
}

// The dispatcher's request, in every notation of a time that PostgreSQL may choose.
Deno.test("request: reads what the dispatcher sends", async () => {
  assert.deepEqual(await send(JSON.stringify(REQUEST), "application/json; charset=utf-8"), {
    action: "backup",
    runId: RUN_ID,
    backup: "auto-backup",
    schedule: "daily",
    dueAt: "2025-03-01T06:00:00+00:00",
    attempt: 1,
    sentAt: "2025-03-01T06:00:00.123456Z",
    alert: true,
    wait: false,
  });
  for (
    const due_at of [
      "2025-03-01T03:00:00-03:00",
      "2025-03-01T06:00:00.123456+00:00",
      "2024-02-29T00:00:00Z",
    ]
  ) {
    const read = await send(JSON.stringify({ ...REQUEST, due_at }));
    assert("dueAt" in read && read.dueAt === due_at);
  }
});

// Optional fields are taken over, and a run id is compared in lower case ever after.
Deno.test("request: optional fields and upper case", async () => {
  const body = {
    ...REQUEST,
    run_id: RUN_ID.toUpperCase(),
    alert: false,
    wait: true,
    action: "backup",
  };
  const read = await send(JSON.stringify(body));
  assert("runId" in read && "alert" in read);
  assert.deepEqual([read.runId, read.alert, read.wait], [RUN_ID, false, true]);
});

// A probe needs no run; what it does name is checked all the same.
Deno.test("request: a probe needs only its action and its time", async () => {
  const { sent_at } = REQUEST;
  assert.deepEqual(await send(JSON.stringify({ action: "probe", sent_at })), {
    action: "probe",
    runId: null,
    backup: null,
  });
  assert.deepEqual(await send(JSON.stringify({ ...REQUEST, action: "probe" })), {
    action: "probe",
    runId: RUN_ID,
    backup: "auto-backup",
  });
  const bad = await send(JSON.stringify({ action: "probe", sent_at, run_id: "1" }));
  assert("code" in bad && bad.message === "run_id is not valid");
});

// One broken field at a time: each is refused and named.
for (
  const [field, value] of [
    ["run_id", undefined],
    ["run_id", null],
    ["run_id", "0b6f0a3e5d5c4f0a9a536f4f7c1d2e30"],
    ["run_id", `${RUN_ID}\n`],
    ["backup", undefined],
    ["backup", "auto backup"],
    ["schedule", undefined],
    ["schedule", "Daily"],
    ["schedule", "a".repeat(21)],
    ["due_at", undefined],
    ["due_at", "2025-03-01"],
    ["due_at", "2025-03-01 06:00:00+00"],
    ["due_at", "2025-02-30T06:00:00Z"],
    ["due_at", "2025-03-01T24:00:00Z"],
    ["due_at", "2025-13-01T06:00:00Z"],
    ["due_at", 1740808800],
    ["sent_at", undefined],
    ["sent_at", null],
    ["sent_at", 1740808800],
    ["sent_at", "2025-03-01T06:00:00"],
    ["sent_at", "2025-02-30T06:00:00Z"],
    ["attempt", undefined],
    ["attempt", 0],
    ["attempt", 101],
    ["attempt", 1.5],
    ["attempt", "1"],
    ["alert", "false"],
    ["wait", 1],
    ["action", "restore"],
  ] as const
) {
  Deno.test(`request: refuses ${field} = ${JSON.stringify(value)}`, async () => {
    const read = await send(JSON.stringify({ ...REQUEST, [field]: value }));
    assert("code" in read);
    assert.equal(read.code, "bad_request");
    assert.match(read.message, new RegExp(`^${field} is `));
  });
}

// Bodies that are not requests.
Deno.test("request: refuses what is no JSON object", async () => {
  const bodies: [BodyInit | null, string | null][] = [
    [null, "application/json"],
    ["", "application/json"],
    ["{", "application/json"],
    ["null", "application/json"],
    ["[]", "application/json"],
    [JSON.stringify({ ...REQUEST, extra: 1 }), "application/json"],
    [JSON.stringify({ ...REQUEST, ["__proto__x"]: 1 }), "application/json"],
    [JSON.stringify(REQUEST), null],
    [JSON.stringify(REQUEST), "text/plain"],
    [JSON.stringify(REQUEST), "application/jsonp"],
  ];
  for (const [body, type] of bodies) {
    const read = await send(body, type);
    assert("code" in read && read.code === "bad_request", `${body}`);
  }
});

// Bytes that are not text are not repaired on the way in.
Deno.test("request: refuses what is not UTF-8", async () => {
  const text = new TextEncoder().encode('{"run_id":"?"}');
  const read = await send(text.with(text.indexOf(0x3f), 0xff));
  assert("code" in read);
  assert.equal(read.message, "the body is not valid JSON");
});

// The limit holds for what is really sent, also without a Content-Length.
Deno.test("request: refuses a large body", async () => {
  const exact = JSON.stringify(REQUEST).padEnd(16_384);
  assert("runId" in await send(exact));
  const chunk = new TextEncoder().encode(exact);
  const endless = new ReadableStream<Uint8Array>({ pull: (c) => c.enqueue(chunk) });
  const read = await send(endless);
  assert("code" in read && read.code === "request_too_large");
});
