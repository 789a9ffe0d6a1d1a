/**
 * RECOVERY.md, which lies beside every copy: how to get it back with openssl, gunzip and psql alone,
 * without this project, its function or the provider. A test runs its commands as they are.
 */

/** A table of the manifest. */
export interface ManifestTable {
  readonly no: number;
  readonly schema: string;
  readonly name: string;
  readonly source: "stored" | "live";
  /** The rows of one backup, or null for all rows. */
  readonly filter: { readonly column: string; readonly value: string } | null;
  /** The columns of each line, in their order. */
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** Those of the columns that PostgreSQL computes, which cannot be inserted. */
  readonly generated: readonly string[];
  readonly rows: number;
  /** The sum of the first 64 bits of each line's MD5, in decimal: it does not depend on the order. */
  readonly digest: string;
  readonly parts: readonly { readonly key: string; readonly rows: number }[];
}

/** What RECOVERY.md needs of a manifest. */
export interface Manifest {
  readonly format: string;
  readonly project_ref: string;
  readonly backup: string;
  readonly backup_id: string;
  readonly made_at: string;
  readonly exported_at: string;
  readonly source: { readonly server_version: string };
  readonly encryption: { readonly recipients: readonly { readonly key_id: string }[] };
  readonly tables: readonly ManifestTable[];
  readonly schema: readonly { readonly section: "before" | "after"; readonly key: string }[];
  /** Which live tables are filled from which stored rows. */
  readonly restores: readonly {
    readonly live: readonly [string, string];
    readonly copy: readonly [string, string];
    /** The column of the copy for each column of the live table; null for those of the same name. */
    readonly columns: Readonly<Record<string, string>> | null;
  }[];
  readonly files: readonly { readonly kind: string; readonly key: string }[];
  readonly not_covered: readonly {
    readonly surface: string;
    readonly status: string;
    readonly reason: string;
  }[];
  /** What of the tables and functions their schema leaves out. */
  readonly left_out?: readonly {
    readonly kind: string;
    readonly name: string;
    readonly reason: string;
    readonly needs?: readonly string[];
  }[];
}

/** The settings under which PostgreSQL printed the values, which reading them and digests need. */
const SETTINGS = [
  "set client_encoding = 'UTF8';",
  "set datestyle = 'ISO, MDY';",
  "set intervalstyle = 'postgres';",
  "set timezone = 'UTC';",
  "set extra_float_digits = 1;",
  "set bytea_output = 'hex';",
  "set lc_monetary = 'C';",
  "set search_path = '';",
].join("\n");

/** Writes RECOVERY.md for the copy that a manifest describes. */
export function recoveryText(manifest: Manifest): string {
  const { tables, restores } = manifest;
  const sums = manifest.files.find(({ kind }) => kind === "sums")?.key ?? "";
  const filled = restores.filter(({ live: [schema, name] }) =>
    !tables.some((table) => table.schema === schema && table.name === name)
  );
  return `# How to restore this copy

This folder is the backup \`${manifest.backup_id}\` of project \`${manifest.project_ref}\`, made at ${manifest.made_at} by \`${manifest.backup}\` and copied here at ${manifest.exported_at}. Its format is \`${manifest.format}\`, and \`manifest.json\` describes it. A folder without a \`manifest.json\` is not finished: take the newest one that has it.

You need:

- a copy of this whole folder on a disk of yours, with the tool of your provider, such as \`aws s3 cp --recursive\` or \`rclone copy\`
- the private key (PEM) of one of the recipients: ${
    manifest.encryption.recipients.map(({ key_id }) => `\`${key_id}\``).join(", ")
  }, the first 20 bytes of the SHA-256 of each public key
- \`sh\`, \`sha256sum\`, \`openssl\` 3, \`gunzip\`, and \`psql\` for an empty database of PostgreSQL 15 or newer; the source was PostgreSQL ${manifest.source.server_version}

Run the four steps in the folder, in one shell. Each stops at the first error, and then nothing has been restored: the last step is one transaction.

\`\`\`sh
set -eu
key=/path/to/private-key.pem
database=postgresql://postgres@localhost:5432/restored
\`\`\`

## 1. Check the digests

\`\`\`sh
sha256sum --check --strict --quiet ${sums}
\`\`\`

## 2. Decrypt and decompress

\`openssl\` writes before it knows whether the file was changed, so its exit status decides.

\`\`\`sh
cut -c 67- ${sums} | while read -r file; do
  openssl cms -decrypt -binary -inform DER -inkey "$key" -in "$file" -out "\${file%.cms}" || { echo "$file cannot be decrypted" >&2; exit 1; }
  gunzip -f "\${file%.cms}" || exit 1
done
\`\`\`

To find out which key a file was encrypted for: \`openssl cms -cmsout -print -noout -inform DER -in FILE\` shows its \`subjectKeyIdentifier\`.

## 3. Restore

\`\`\`sh
psql "$database" --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction --file=- <<'SQL'
${SETTINGS}
${section(manifest, "before")}
create temporary table aimindset_line (line text);
${tables.map(load).join("\n")}
${filled.length === 0 ? "" : fillText(filled, manifest)}${section(manifest, "after")}
${SETTINGS}
set client_min_messages = notice;
${tables.map(compare).join("\n")}
SQL
\`\`\`

${
    filled.length === 0
      ? ""
      : `The statements under "Fill the site's tables" put the stored rows back into ${
        filled.map(({ live }) => `\`${cell(live.join("."))}\``).join(", ")
      }. Columns that the backup does not hold get their defaults.

`
  }The last statements say of each table "equal". They fail, and undo everything, unless the numbers of rows and the digests are those of the source.

## 4. Look at what is not here

| what | status | why |
|---|---|---|
${
    [
      ...manifest.not_covered.map(({ surface, status, reason }) => [surface, status, reason]),
      ...(manifest.left_out ?? []).map((
        { kind, name, reason, needs = [] },
      ) => [`${kind} ${name}`, "left_out", [reason, needs.join(", ")].filter(Boolean).join(": ")]),
    ].map((row) => `| ${row.map(cell).join(" | ")} |`).join("\n")
  }

## Numbers

| table | rows | digest |
|---|--:|---|
${
    tables.map(({ schema, name, rows, digest }) =>
      `| ${cell(`${schema}.${name}`)} | ${rows} | ${digest} |`
    ).join("\n")
  }
`;
}

function section(manifest: Manifest, wanted: "before" | "after"): string {
  return manifest.schema.filter(({ section }) => section === wanted)
    .map(({ key }) => `\\i ${file(key)}`).join("\n");
}

/** The statements that load a table's parts. */
function load(table: ManifestTable): string {
  const columns = table.columns.filter(({ name }) => !table.generated.includes(name));
  return [
    "truncate pg_temp.aimindset_line;",
    // Neither character occurs in JSON, so each line is one value.
    ...table.parts.map(({ key }) =>
      `\\copy pg_temp.aimindset_line from ${
        file(key)
      } with (format csv, quote e'\\x01', delimiter e'\\x02')`
    ),
    `insert into ${relation(table)} (${columns.map(({ name }) => identifier(name)).join(", ")})`,
    "overriding system value",
    `select ${
      columns.map(({ name, type }) => `r.${identifier(name)}::${typeName(type)}`).join(", ")
    }`,
    `from pg_temp.aimindset_line l cross join lateral json_to_record(l.line::json) as r (${
      columns.map(({ name }) => `${identifier(name)} text`).join(", ")
    });`,
  ].join("\n");
}

function fillText(filled: Manifest["restores"], { backup_id }: Manifest): string {
  const where = `where backup_id = ${literal(backup_id)}`;
  const statements = filled.map(({ live, copy, columns }) => {
    if (columns === null) return fillByName(live, copy, where);
    const pairs = Object.entries(columns);
    return [
      `insert into ${name(live)} (${pairs.map(([to]) => identifier(to)).join(", ")})`,
      "overriding system value",
      `select ${pairs.map(([, from]) => identifier(from)).join(", ")} from ${name(copy)} ${where};`,
    ].join("\n");
  });
  return `-- Fill the site's tables from the stored rows.\n${statements.join("\n")}\n`;
}

/** Fills the columns that both tables have. */
function fillByName(live: readonly string[], copy: readonly string[], where: string): string {
  const [to, from] = [literal(name(live)), literal(name(copy))];
  return `do $fill$
declare
    names text;
begin
    select string_agg(format('%I', l.attname), ', ' order by l.attnum) into names
    from pg_attribute l
    inner join pg_attribute c on c.attrelid = ${from}::regclass and c.attname = l.attname and c.attnum > 0 and not c.attisdropped
    where l.attrelid = ${to}::regclass and l.attnum > 0 and not l.attisdropped and l.attgenerated = '';
    execute format('insert into %s (%s) overriding system value select %2$s from %s ', ${to}, names, ${from}) || ${
    literal(where)
  };
end
$fill$;`;
}

/** A statement that fails unless a table has the rows of the manifest. */
function compare(table: ManifestTable): string {
  const { schema, filter } = table;
  const where = filter === null
    ? ""
    : ` where ${identifier(filter.column)} = ${literal(filter.value)}`;
  const values = table.columns.map(({ name }) => identifier(name)).map((column) =>
    `case when ${column} is not null then format('%s', ${column}) end as ${column}`
  );
  const label = literal(`${schema}.${table.name}`);
  return `do $compare$
declare
    found record;
begin
    select count(*) as rows, coalesce(sum(('x' || substr(md5(l.line), 1, 16))::bit(64)::bigint), 0) as digest into found
    from (select row_to_json(x)::text as line from (select ${values.join(", ")} from ${
    relation(table)
  }${where}) as x) as l;
    if found.rows <> ${table.rows} or found.digest <> ${table.digest} then
        raise exception 'table %: % rows with digest %, and the copy has ${table.rows} with ${table.digest}', ${label}, found.rows, found.digest;
    end if;
    raise notice 'table %: % rows, equal', ${label}, found.rows;
end
$compare$;`;
}

function relation({ schema, name: table }: ManifestTable): string {
  return name([schema, table]);
}

function name(parts: readonly string[]): string {
  return parts.map(identifier).join(".");
}

/**
 * Quotes a name. What could end a line of the script, or the text around it, is escaped: who may
 * create a table must not be able to add commands to a script that an administrator runs.
 */
function identifier(text: string): string {
  return quote(text, '"');
}

function literal(text: string): string {
  return quote(text, "'");
}

function quote(text: string, mark: string): string {
  const quoted = mark + text.replaceAll(mark, mark + mark) + mark;
  if (!UNSAFE.test(text)) return quoted;
  return `U&${
    quoted.replace(
      new RegExp(UNSAFE, "gu"),
      (character) => `\\${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
    )
  }`;
}

/** Control characters, separators of lines, and what has a meaning in the script. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}$\\`]/u;

/** The name of a type as PostgreSQL prints it, which is quoted already. */
function typeName(text: string): string {
  if (UNSAFE.test(text)) {
    throw new Error("the name of a column's type has characters that are not usable here");
  }
  return text;
}

/** The decrypted file of an object, quoted for psql. */
function file(key: string): string {
  return `'${key.replace(/\.gz\.cms$/, "")}'`;
}

/** Text in a cell of a Markdown table. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|").replace(/\s+/g, " ");
}
