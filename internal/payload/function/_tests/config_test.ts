import assert from "node:assert/strict";
import sample from "../config.json" with { type: "json" };
import { parseConfig } from "../config.ts";

// The sample has every field that is generated at deploy, and all of them are read.
Deno.test("config: reads the sample", () => {
  assert.deepEqual(parseConfig(sample), {
    backup: "auto-backup",
    timezone: "America/Sao_Paulo",
    tokenSecret: "AUTO_BACKUP_TOKEN",
    rpc: "backup_all_data",
    rpcTimeoutMs: 100_000,
    verifyTable: null,
    alert: { function: "alert-processor", source: "Falha no Backup Automático" },
  });
});

// Only what a deployment can leave out has a default.
Deno.test("config: optional fields", () => {
  const { timezone: _, verify_table: __, alert: ___, ...rest } = sample;
  const config = parseConfig(rest);
  assert(typeof config !== "string");
  assert.deepEqual([config.timezone, config.verifyTable, config.alert], ["UTC", null, null]);
});

// Each broken field is named; nothing throws, so that the function boots and can say what is wrong.
for (
  const [field, value] of [
    ["backup", "Auto Backup"],
    ["backup", undefined],
    ["timezone", "America/São Paulo?"],
    ["token_secret", "auto-backup-token"],
    ["rpc", "backup_all_data()"],
    ["rpc", "x'; drop table y"],
    ["rpc_timeout_ms", 99],
    ["rpc_timeout_ms", 380_001],
    ["rpc_timeout_ms", 1000.5],
    ["rpc_timeout_ms", "100000"],
    ["verify_table", "public.backup_articles"],
    ["verify_table", 7],
    ["alert", "alert-processor"],
    ["alert.function", "../x"],
    ["alert.source", " "],
  ] as const
) {
  Deno.test(`config: refuses ${field} = ${JSON.stringify(value)}`, () => {
    const [name, inner] = field.split(".") as [string, string | undefined];
    const config = inner === undefined
      ? { ...sample, [name]: value }
      : { ...sample, alert: { ...sample.alert, [inner]: value } };
    const problem = parseConfig(config);
    assert(typeof problem === "string" && problem.startsWith(field), String(problem));
  });
}

// A config.json that is not an object is told apart from a wrong field.
Deno.test("config: refuses what is not an object", () => {
  for (const value of [null, [], "x", 1, undefined]) {
    assert.equal(parseConfig(value), "config.json is not an object");
  }
});
