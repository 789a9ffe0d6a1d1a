/**
 * The ledger of off-site copies: SQL functions in the closed schema auto_backup, called through the
 * function's own database connection. PostgREST does not reach that schema, and its rows are cut off
 * at a number that the project sets.
 */

import type { Clean } from "./clean.ts";
import type { Target } from "./export.ts";
import { isInteger, isRecord } from "./config.ts";
import type { Limits } from "./log.ts";
import { type OpenOptions, Postgres, PostgresProblem, type Sockets } from "./postgres.ts";
import type { Timer } from "./supabase.ts";
import type { Env } from "./token.ts";

/** The SQL functions that a call uses; each takes the ID of the work and of the worker first. */
export type LedgerFunction =
  | "export_claim"
  | "export_freeze"
  | "export_announce"
  | "export_stored"
  | "export_schema"
  | "export_sums"
  | "export_manifest"
  | "export_failed"
  | "export_yield"
  | "check_claim"
  | "check_next"
  | "check_result"
  | "check_finish"
  | "check_failed"
  | "check_yield";

/** Why the ledger could not be asked. */
export class LedgerProblem extends Error {
  constructor(
    /** One of the codes of place `offsite` in codes.json. */
    readonly code: string,
    message: string,
    readonly sqlstate: string | undefined,
    /** Whether the ledger itself has found the problem and recorded it. */
    readonly recorded = false,
  ) {
    super(message);
  }
}

/** Where the connection is made. */
export interface LedgerContext {
  readonly env: Env;
  readonly sockets: Sockets;
  readonly timer: Timer;
  readonly clean: Clean;
  readonly limits: Limits;
}

/** What a page of rows says of itself. */
export interface Page {
  readonly rows: number;
  /** Where the next page begins, or null if the table has no rows. */
  readonly last: string | null;
  readonly more: boolean;
  /** The sum of the lines' digests. */
  readonly digest: bigint;
}

/** The settings under which PostgreSQL prints values; RECOVERY.md sets them too. */
const SETTINGS = {
  search_path: "",
  datestyle: "ISO, MDY",
  intervalstyle: "postgres",
  timezone: "UTC",
  extra_float_digits: "1",
  bytea_output: "hex",
  lock_timeout: "3s",
} as const;

/** What exports and checks call. The calls reject with a LedgerProblem. */
export interface LedgerCalls {
  /** Calls a function of the ledger, and returns its result as JSON or text. */
  call(
    name: LedgerFunction,
    id: number,
    worker: string,
    ...values: readonly (string | number | null | Record<string, unknown>)[]
  ): Promise<unknown>;
  /** Reads a page of a table's rows, and calls `line` with the bytes of each. */
  page(
    id: number,
    worker: string,
    table: number,
    after: string | null,
    line: (bytes: Uint8Array) => void,
  ): Promise<Page>;
}

/** The ledger of one project. */
export class Ledger implements LedgerCalls {
  readonly #database: Postgres;
  readonly #clean: Clean;
  readonly #timeout: number;

  private constructor(database: Postgres, { clean, limits }: LedgerContext) {
    this.#database = database;
    this.#clean = clean;
    this.#timeout = limits.ledger_timeout_ms;
  }

  /** Connects to the project's database. */
  static async open(context: LedgerContext): Promise<Ledger> {
    const { env, sockets, timer, clean, limits } = context;
    const url = env("SUPABASE_DB_URL") ?? "";
    if (url === "") {
      throw new LedgerProblem("offsite_database_url", "SUPABASE_DB_URL is not set", undefined);
    }
    const options: OpenOptions = {
      sockets,
      timer,
      timeoutMs: limits.ledger_connect_timeout_ms,
      applicationName: "auto-backup offsite",
    };
    const database = await Postgres.open(url, options);
    if (database instanceof PostgresProblem) throw problemOf(database, clean);
    const ledger = new Ledger(database, context);
    try {
      await ledger.#configure();
    } catch (error) {
      await ledger.close();
      throw error;
    }
    return ledger;
  }

  /** A pooler refuses settings while a connection begins, so they are set afterwards. */
  async #configure(): Promise<void> {
    const timeout = `${this.#timeout}ms`;
    const values = Object.entries({ ...SETTINGS, statement_timeout: timeout }).flat();
    const calls = values.flatMap((_, i) =>
      i % 2 === 0 ? [`set_config($${i + 1}, $${i + 2}, false)`] : []
    );
    await this.#query(`select ${calls.join(", ")}`, values);
  }

  async call(
    name: LedgerFunction,
    id: number,
    worker: string,
    ...values: readonly (string | number | null | Record<string, unknown>)[]
  ): Promise<unknown> {
    const parameters = [id, worker, ...values].map((value) =>
      value === null ? null : isRecord(value) ? JSON.stringify(value) : String(value)
    );
    const places = parameters.map((_, i) => `$${i + 1}`).join(", ");
    const rows = await this.#query(`select to_jsonb(auto_backup.${name}(${places}))`, parameters);
    return unlessFailed(JSON.parse(rows[0]?.[0] ?? "null"));
  }

  /** Returns a destination as the settings describe it, or null if there is none of this name. */
  async target(backup: string, destination: string): Promise<Target & { path: string } | null> {
    const rows = await this.#query("select auto_backup.offsite_target($1, $2)", [
      backup,
      destination,
    ]);
    return JSON.parse(rows[0]?.[0] ?? "null");
  }

  async page(
    id: number,
    worker: string,
    table: number,
    after: string | null,
    line: (bytes: Uint8Array) => void,
  ): Promise<Page> {
    let header: Uint8Array | null = null;
    const result = await this.#database.stream(
      "select auto_backup.export_page($1, $2, $3, $4)",
      [String(id), worker, String(table), after],
      this.#timeout,
      (bytes) => {
        if (header === null) header = bytes.slice();
        else line(bytes);
      },
    );
    if (result instanceof PostgresProblem) throw problemOf(result, this.#clean);
    const page: unknown = header === null
      ? null
      : unlessFailed(JSON.parse(new TextDecoder().decode(header)));
    if (!isRecord(page) || !isInteger(page.rows) || page.rows !== result - 1) {
      throw new LedgerProblem("offsite_internal", "the ledger returned no page", undefined);
    }
    return {
      rows: page.rows,
      last: typeof page.last === "string" ? page.last : null,
      more: page.more === true,
      digest: BigInt(String(page.digest ?? 0)),
    };
  }

  async #query(sql: string, parameters: (string | null)[]): Promise<(string | null)[][]> {
    const result = await this.#database.query(sql, parameters, this.#timeout);
    if (result instanceof PostgresProblem) throw problemOf(result, this.#clean);
    return result.rows;
  }

  /** Closes the connection. */
  close(): Promise<void> {
    return this.#database.close();
  }
}

/** Returns a result of the ledger, unless that says that the rows cannot be read. */
function unlessFailed(result: unknown): unknown {
  if (!isRecord(result) || !isRecord(result.failed)) return result;
  const { code, message } = result.failed;
  throw new LedgerProblem(String(code), String(message ?? ""), undefined, true);
}

function problemOf(problem: PostgresProblem, clean: Clean): LedgerProblem {
  return new LedgerProblem(`offsite_${problem.code}`, clean(problem.message), problem.sqlstate);
}
