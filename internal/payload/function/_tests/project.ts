/**
 * A project in memory, for tests: the part of PostgREST that the function uses, with its statuses,
 * error bodies and constraints, the SQL function of the backup, and an alert function. Faults are
 * put in front of it, call by call.
 */

import { createHmac } from "node:crypto";
import { createHandler, type Dependencies, type Handler } from "../handler.ts";
import type { Row, Timer } from "../supabase.ts";
import sample from "../config.json" with { type: "json" };

export const TOKEN = "kJ3vQ0x8Zl5mN2bR7cT4wY9uE1aS6dF-gH_iO0pL3qX";
export const NEXT_TOKEN = "Zx81NsPqTfVbYcWd-RmLk2JhGu6_EoIa0Q3t7B9v5Xy";
export const SECRET_KEY = "sb_secret_of-the-project-in-memory";
export const SERVICE_JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl";
export const RUN_ID = "0b6f0a3e-5d5c-4f0a-9a53-6f4f7c1d2e30";
export const BACKUP_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7";

/** A call that reached the project. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly body: string;
  /** Resolves when the caller no longer waits for the answer. */
  gone(): Promise<void>;
}

/** Stands in front of the project: answers by itself, or lets the call through by next(). */
export type Fault = (call: Call, next: () => Promise<Response>) => Promise<Response> | Response;

/** A JSON answer. */
export function json(status: number, body: unknown): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": "application/json; charset=utf-8" },
  });
}

/** An error in PostgREST's words. */
export function pgError(status: number, code: string, message: string): Response {
  return json(status, { code, message, details: null, hint: null });
}

/** A page in the words of something that stands between the function and the project. */
export function html(status: number): Response {
  return new Response("<html><body>Bad gateway</body></html>", {
    status,
    headers: { "Content-Type": "text/html; charset=utf-8" },
  });
}

/** An answer that never comes: the caller waits until its timer calls back. */
export function silence(): never {
  throw new Silence();
}

class Silence extends Error {}

/** A connection that breaks. */
export function broken(): never {
  throw new TypeError("fetch failed", {
    cause: new Error(
      "error sending request for url (http://u:pw@project.test/rest/v1/x?apikey=abc): " +
        "client error (SendRequest): connection closed before message completed",
    ),
  });
}

export class FakeProject {
  readonly url = "http://project.test";
  readonly calls: Call[] = [];
  readonly backupLogs: Row[] = [];
  readonly systemLogs: Row[] = [];
  readonly backupArticles: Row[] = [];
  /** Bodies of the calls of the alert function. */
  readonly alerts: Row[] = [];
  /** The values that backup_logs_action_type_check allows. */
  actionTypes = ["backup", "restore", "auto_backup"];
  /** Keys that are accepted as apikey. */
  keys = [SECRET_KEY, SERVICE_JWT];
  /** Whether functions need a JWT as bearer, as before secret keys. */
  jwtGateway = false;
  rpc: () => Promise<Response> | Response = () => json(200, this.makeBackup());
  alert: (payload: Row) => Promise<Response> | Response = () =>
    json(200, {
      message: "Alert processed successfully",
      emails_sent: 2,
      emails_failed: 0,
      total_subscribers: 2,
    });
  #faults: { when: RegExp; fault: Fault; times: number }[] = [];
  #clock: number;
  /** The timer that was started last: that of the call which follows it. */
  #timer = { due: Infinity, callback: () => {} };
  #serial = 0;
  /** Those who wait for an answer of the project to anybody. */
  readonly #answered: (() => void)[] = [];

  constructor(start: Date = new Date("2025-03-01T06:00:00Z")) {
    this.#clock = start.getTime();
  }

  /**
   * The project's clock; it moves when somebody sleeps or waits for an answer that never comes, and
   * a little with every row. No test depends on the real one, and so on how fast the machine is.
   */
  now = (): Date => new Date(this.#clock);
  sleep = (ms: number): Promise<void> => {
    this.#clock += ms;
    return Promise.resolve();
  };
  timer: Timer = (ms, callback) => {
    this.#timer = { due: this.#clock + ms, callback };
    return () => {};
  };

  /** Puts a fault in front of the next calls whose "METHOD /path?query" matches. */
  fault(when: RegExp, fault: Fault, times = 1): void {
    this.#faults.push({ when, fault, times });
  }

  /** What backup_all_data does: rows, its own log rows, its own answer. */
  makeBackup(records = 28, id = BACKUP_ID): Row {
    this.backupArticles.push({ backup_id: id, backup_created_at: this.#tick() });
    this.systemLogs.push({
      id: ++this.#serial,
      type: "backup",
      message: "Backup completo realizado com sucesso incluindo logs",
      context: { backup_id: id, total_records: records },
      created_at: this.#tick(),
    });
    this.backupLogs.push({
      id: crypto.randomUUID(),
      action_type: "backup",
      created_at: this.#tick(),
      records_affected: records,
      details: `Backup ID: ${id} - Articles: ${records}`,
      success: true,
    });
    return {
      success: true,
      message: "Backup completo concluído com sucesso incluindo logs",
      backup_id: id,
      total_records: records,
      articles_count: records,
      comments_count: 0,
      feedbacks_count: 0,
      backend_logs_count: 0,
      app_logs_count: 0,
      system_logs_count: 0,
    };
  }

  /** The function's own rows of backup_logs. */
  get runs(): Row[] {
    return this.backupLogs.filter((row) => row.action_type === "auto_backup");
  }

  /** The function's own rows of system_logs. */
  get events(): Row[] {
    return this.systemLogs.filter((row) => String(row.type).startsWith("auto_backup"));
  }

  /** The fetch that reaches this project. */
  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const { due, callback } = this.#timer;
    try {
      return await this.handle(new Request(url, init));
    } catch (error) {
      if (!(error instanceof Silence)) throw error;
      this.#clock = Math.max(this.#clock, due);
      callback();
      init.signal?.throwIfAborted();
      throw new Error("nobody waits for an answer any longer, but the call goes on");
    }
  };

  /**
   * Waits until a condition holds, looking at it whenever the project has answered a request. The
   * limit only ends what would otherwise hang.
   */
  async until(condition: () => boolean): Promise<void> {
    const limit = AbortSignal.timeout(60_000);
    while (!condition()) {
      await new Promise<void>((resolve, reject) => {
        this.#answered.push(resolve);
        limit.addEventListener("abort", () => reject(new Error("waited for a minute in vain")));
      });
    }
  }

  /** Answers one request. */
  async handle(request: Request): Promise<Response> {
    try {
      return await this.#handle(request);
    } finally {
      for (const resolve of this.#answered.splice(0)) resolve();
    }
  }

  async #handle(request: Request): Promise<Response> {
    const { pathname, searchParams, search } = new URL(request.url);
    const call: Call = {
      method: request.method,
      path: pathname,
      query: searchParams,
      headers: request.headers,
      body: await request.text(),
      gone: () =>
        new Promise((resolve) => request.signal.addEventListener("abort", () => resolve())),
    };
    this.calls.push(call);
    const target = `${call.method} ${pathname}${decodeURIComponent(search)}`;
    const hit = this.#faults.find(({ when, times }) => times > 0 && when.test(target));
    if (hit === undefined) return await this.#answer(call);
    hit.times--;
    return await hit.fault(call, () => this.#answer(call));
  }

  async #answer(call: Call): Promise<Response> {
    const key = call.headers.get("apikey") ?? "";
    const bearer = call.headers.get("authorization")?.replace(/^Bearer /, "");
    if (!this.keys.includes(key)) return json(401, { message: "Invalid API key" });
    if (call.path === "/functions/v1/alert-processor") {
      if (bearer === undefined && (this.jwtGateway || key.startsWith("eyJ"))) {
        return json(401, { msg: "Error: Missing authorization header" });
      }
      this.alerts.push(JSON.parse(call.body));
      return await this.alert(JSON.parse(call.body));
    }
    const table = /^\/rest\/v1\/(\w+)$/.exec(call.path)?.[1];
    // A new key is no JWT and has no business in Authorization; a JWT has.
    if (bearer !== (key.startsWith("eyJ") ? key : undefined)) {
      return pgError(401, "PGRST301", "Expected 3 parts in JWT; got 1");
    }
    if (call.path === "/rest/v1/rpc/backup_all_data" && call.method === "POST") {
      return await this.rpc();
    }
    switch (table) {
      case "backup_logs":
        return this.#table(call, this.backupLogs, (row) => this.#checkBackupLog(row));
      case "system_logs":
        return this.#table(call, this.systemLogs, (row) => {
          row.id = ++this.#serial;
          return null;
        });
      case "backup_articles":
        return this.#table(call, this.backupArticles, () => null);
    }
    return pgError(404, "PGRST205", "Could not find the table in the schema cache");
  }

  #checkBackupLog(row: Row): Response | null {
    if (!this.actionTypes.includes(String(row.action_type))) {
      return pgError(
        400,
        "23514",
        'new row for relation "backup_logs" violates check constraint "backup_logs_action_type_check"',
      );
    }
    if (this.backupLogs.some(({ id }) => id === row.id)) {
      return pgError(
        409,
        "23505",
        'duplicate key value violates unique constraint "backup_logs_pkey"',
      );
    }
    return null;
  }

  #table(call: Call, rows: Row[], check: (row: Row) => Response | null): Response {
    const representation = call.headers.get("prefer") === "return=representation";
    switch (call.method) {
      case "POST": {
        const row: Row = JSON.parse(call.body);
        const refused = check(row);
        if (refused !== null) return refused;
        row.created_at ??= this.#tick();
        rows.push(row);
        return representation
          ? json(201, project([row], call.query))
          : new Response(null, { status: 201 });
      }
      case "PATCH": {
        const hit = filter(rows, call.query);
        for (const row of hit) Object.assign(row, JSON.parse(call.body));
        return representation
          ? json(200, project(hit, call.query))
          : new Response(null, { status: 204 });
      }
      default:
        return json(200, project(filter(rows, call.query), call.query));
    }
  }

  #tick(): string {
    this.#clock += 1;
    return new Date(this.#clock).toISOString();
  }
}

function filter(rows: Row[], query: URLSearchParams): Row[] {
  let found = rows;
  for (const [name, value] of query) {
    if (["select", "order", "limit"].includes(name)) continue;
    const [operator, wanted = ""] = value.split(/\.(.*)/s);
    const [column = "", key] = name.split("->>");
    found = found.filter((row) => {
      const cell = key === undefined ? row[column] : (row[column] as Row | null)?.[key];
      return operator === "gte" ? String(cell) >= wanted : String(cell) === wanted;
    });
  }
  // Every order that the function asks for is ascending, and rows are kept so.
  return found.slice(0, Number(query.get("limit") ?? Infinity));
}

function project(rows: Row[], query: URLSearchParams): Row[] {
  const columns = query.get("select")?.split(",");
  return rows.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => columns?.includes(name) ?? true))
  );
}

/** The function in front of a fake project. */
export interface Harness {
  readonly project: FakeProject;
  readonly handler: Handler;
  readonly log: string[];
  /** Sends the dispatcher's request, or a variation of it, with a signature that fits it. */
  post(change?: Row, headers?: Record<string, string>, token?: string): Promise<Response>;
  /** Waits until all work behind the answers is done. */
  idle(): Promise<void>;
}

/** What a test may change of the function's surroundings. */
export interface Setting {
  config?: Row;
  env?: Record<string, string | undefined>;
  deps?: Partial<Dependencies>;
}

/** The dispatcher's request, apart from the time at which it is sent. */
export const REQUEST: Readonly<Row> = {
  run_id: RUN_ID,
  backup: "auto-backup",
  schedule: "daily",
  due_at: "2025-03-01T06:00:00+00:00",
  attempt: 1,
};

/** What signs a text, in lower-case hexadecimal. It shares no code with the function. */
export function signature(text: string | Uint8Array, token: string = TOKEN): string {
  return createHmac("sha256", token).update(text).digest("hex");
}

/** The signature that the watchdog expects of an outcome, written down once more. */
export function outcomeSignature(type: string, document: Row, token: string = TOKEN): string {
  const alert = (document.alert ?? {}) as Row;
  const { run_id, revision, code, sqlstate, backup_id, total_records, error } = document;
  const lines = ["backup-outcome-v1", type, run_id, revision, code, sqlstate, backup_id];
  lines.push(total_records, alert.state, alert.emails_sent, alert.emails_failed, error);
  return signature(lines.map((line) => line === undefined ? "" : String(line)).join("\n"), token);
}

/** A text of backup_logs with the signature that the watchdog expects of it. */
export function signedDetails(text: string): string {
  return `${text} [${signature(`backup-details-v1\n${RUN_ID}\n${text}`).slice(0, 32)}]`;
}

/** A signed POST of the dispatcher's request, or of a variation of it. */
export function signed(change: Row, sentAt: Date, token: string = TOKEN): RequestInit & {
  readonly headers: Readonly<Record<string, string>>;
} {
  const body = JSON.stringify({ ...REQUEST, sent_at: sentAt.toISOString(), ...change });
  return {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-Backup-Signature": signature(body, token),
    },
    body,
  };
}

/** Sets up the function with the project's clock. */
export function harness({ config = {}, env = {}, deps = {} }: Setting = {}): Harness {
  const project = new FakeProject();
  const variables: Record<string, string | undefined> = {
    SUPABASE_URL: project.url,
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: SECRET_KEY }),
    SUPABASE_SERVICE_ROLE_KEY: SERVICE_JWT,
    AUTO_BACKUP_TOKEN: TOKEN,
    ...env,
  };
  const background: Promise<unknown>[] = [];
  const log: string[] = [];
  const handler = createHandler({
    config: { ...sample, ...config },
    env: (name) => variables[name],
    fetch: project.fetch,
    sockets: { connect: () => Promise.reject(new Error("there is no database")) },
    now: project.now,
    sleep: project.sleep,
    timer: project.timer,
    waitUntil: (work) => background.push(work),
    log: (line) => log.push(line),
    ...deps,
  });
  return {
    project,
    handler,
    log,
    post: (change = {}, headers = {}, token = TOKEN) => {
      const init = signed(change, project.now(), token);
      return handler.handle(
        new Request("http://function.test/", { ...init, headers: { ...init.headers, ...headers } }),
      );
    },
    idle: async () => {
      await Promise.all(background);
    },
  };
}
