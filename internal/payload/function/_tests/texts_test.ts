import assert from "node:assert/strict";
import { alertMessage, localTime, problemText, reasons } from "../texts.ts";
import type { BackupRequest } from "../request.ts";
import { RUN_ID } from "./project.ts";

// Readers see their own clock, summer time included, and UTC where the zone is unknown.
Deno.test("texts: times in the reader's zone", () => {
  const due = "2025-03-01T06:00:00+00:00";
  assert.equal(localTime(due, "America/Sao_Paulo"), "01/03/2025 às 03:00 (America/Sao_Paulo)");
  assert.equal(
    localTime("2025-07-01T06:05:00Z", "Europe/Lisbon"),
    "01/07/2025 às 07:05 (Europe/Lisbon)",
  );
  assert.equal(localTime(due, "UTC"), "01/03/2025 às 06:00 (UTC)");
  assert.equal(localTime(due, "Mars/Olympus_Mons"), "01/03/2025 às 06:00 (UTC)");
  assert.match(localTime("2025-03-01T03:00:00Z", "America/Sao_Paulo"), / às 00:00 /);
});

const request: BackupRequest = {
  action: "backup",
  runId: RUN_ID,
  backup: "auto-backup",
  schedule: "daily",
  dueAt: "2025-03-01T06:00:00Z",
  sentAt: "2025-03-01T06:00:00Z",
  attempt: 2,
  alert: true,
  wait: false,
};

// The message is made of whole sentences, whatever the reason ends in.
Deno.test("texts: punctuation of the alert's message", () => {
  for (
    const [reason, wanted] of [
      ["sem espaço", "Motivo: sem espaço. Nenhum"],
      ["sem espaço.", "Motivo: sem espaço. Nenhum"],
      ["sem esp…", "Motivo: sem esp… Nenhum"],
    ] as const
  ) {
    const message = alertMessage(request, "UTC", { code: "backup_failed", reason });
    assert(message.includes(wanted), message);
  }
});

// Numbers are written as in Brazil, and long times in seconds.
Deno.test("texts: numbers", () => {
  assert.match(reasons.rpcTimeout("f", 100_000), /em 100 s, e/);
  assert.match(reasons.rpcTimeout("f", 1500), /em 1,5 s, e/);
  const timeout = { kind: "unreachable", cause: "timeout", detail: "0.5 s" } as const;
  assert.equal(problemText(timeout), "sem resposta em 0,5 s");
});
