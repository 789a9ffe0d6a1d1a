/** RECOVERY.md as text. That its commands restore a copy is tested with real programs elsewhere. */

import assert from "node:assert/strict";
import { type Manifest, type ManifestTable, recoveryText } from "../recovery.ts";

const TABLE: ManifestTable = {
  no: 1,
  schema: "public",
  name: "backup_articles",
  source: "stored",
  filter: { column: "backup_id", value: "b1" },
  columns: [
    { name: "id", type: "uuid" },
    { name: "tags", type: "text[]" },
    { name: "words", type: "integer" },
  ],
  generated: ["words"],
  rows: 3,
  digest: "-12",
  parts: [{ key: "rows/01-a/00001-0f.ndjson.gz.cms", rows: 3 }],
};

const MANIFEST: Manifest = {
  format: "aimindset-backup/1",
  project_ref: "p",
  backup: "auto-backup",
  backup_id: "b1",
  made_at: "2026-11-26T06:00:00Z",
  exported_at: "2026-11-26T06:10:00Z",
  source: { server_version: "17.4" },
  encryption: { recipients: [{ key_id: "aa" }, { key_id: "bb" }] },
  tables: [TABLE],
  schema: [
    { section: "before", key: "schema-before-01.sql.gz.cms" },
    { section: "after", key: "schema-after-02.sql.gz.cms" },
  ],
  restores: [{
    live: ["public", "articles"],
    copy: ["public", "backup_articles"],
    columns: { id: "original_id" },
  }],
  files: [{ kind: "sums", key: "sha256sums-03.txt" }],
  not_covered: [{ surface: "accounts", status: "not_covered", reason: "a | b\nc" }],
  left_out: [
    { kind: "foreign key", name: "a on s.b", reason: "needs", needs: ["table s.c", "table d"] },
    { kind: "view", name: "s.v", reason: "no part" },
  ],
};

function at(text: string, ...parts: string[]): void {
  let from = 0;
  for (const part of parts) {
    const found = text.indexOf(part, from);
    assert(found >= 0, `${part} is missing, or comes too early`);
    from = found + part.length;
  }
}

// Types before rows, rows before keys, comparison last: one transaction.
Deno.test("the order of a restore", () => {
  at(
    recoveryText(MANIFEST),
    "sha256sum --check --strict --quiet sha256sums-03.txt",
    "--single-transaction",
    "\\i 'schema-before-01.sql'",
    "\\copy pg_temp.aimindset_line from 'rows/01-a/00001-0f.ndjson'",
    'insert into "public"."backup_articles" ("id", "tags")',
    'r."tags"::text[]',
    'insert into "public"."articles" ("id")',
    `select "original_id" from "public"."backup_articles" where backup_id = 'b1'`,
    "\\i 'schema-after-02.sql'",
    `case when "words" is not null`,
    `where "backup_id" = 'b1'`,
    "found.rows <> 3 or found.digest <> -12",
    "| accounts | not_covered | a \\| b c |",
    "| foreign key a on s.b | left_out | needs: table s.c, table d |",
    "| view s.v | left_out | no part |",
  );
});

// Columns of the same name are found when the copy is restored.
Deno.test("live tables that are filled by name", () => {
  const restores = MANIFEST.restores.map((restore) => ({ ...restore, columns: null }));
  const text = recoveryText({ ...MANIFEST, restores });
  at(
    text,
    "do $fill$",
    `'"public"."backup_articles"'::regclass`,
    `'"public"."articles"'::regclass`,
  );
  assert(text.includes(`'where backup_id = ''b1'''`));
});

// A table that was copied whole is not filled a second time.
Deno.test("live tables that the copy has are not filled from stored rows", () => {
  const live: ManifestTable = { ...TABLE, no: 2, name: "articles", source: "live", filter: null };
  const text = recoveryText({ ...MANIFEST, tables: [TABLE, live] });
  assert(!text.includes("Fill the site's tables"));
  assert(!text.includes('"original_id"'));
});

// Who may create a table must not be able to add commands to an administrator's script.
Deno.test("names cannot leave their place", () => {
  const name = "x\nSQL\nrm -rf ~\n$compare$;\\! id `id`\"'";
  const table: ManifestTable = {
    ...TABLE,
    name,
    columns: [{ name, type: "uuid" }],
    filter: { column: name, value: name },
  };
  const restores = [{
    live: [name, name] as const,
    copy: [name, name] as const,
    columns: { [name]: name },
  }];
  const lines = recoveryText({ ...MANIFEST, tables: [table], restores }).split("\n");
  assert.equal(lines.filter((line) => line === "SQL").length, 1);
  assert(!lines.some((line) => line.startsWith("rm ")));
  const script = lines.slice(
    lines.findIndex((line) => line.endsWith("<<'SQL'")),
    lines.indexOf("SQL"),
  );
  assert(script.some((line) => line.includes('U&"x\\000aSQL\\000arm')));
  assert(!script.some((line) => line.includes("\\!") || line.includes("`id`")));
  assert.equal(script.filter((line) => line.includes("$compare$")).length, 2);
});

// PostgreSQL prints the names of types quoted; one that this cannot hold ends the copy.
Deno.test("a type whose name has control characters is refused", () => {
  const table = { ...TABLE, columns: [{ name: "id", type: '"a\nb"' }] };
  assert.throws(() => recoveryText({ ...MANIFEST, tables: [table] }), /name of a column's type/);
});
