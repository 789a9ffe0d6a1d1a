/**
 * Every way in which a run can fail, one row each: what is done to the project, and which code,
 * words and alert come of it. What every failure has in common is checked for every row.
 */

import assert from "node:assert/strict";
import codes from "../codes.json" with { type: "json" };
import contract from "../contract.json" with { type: "json" };
import type { Row } from "../supabase.ts";
import type { Code } from "../texts.ts";
import {
  BACKUP_ID,
  broken,
  type FakeProject,
  type Harness,
  harness,
  html,
  json,
  outcomeSignature,
  pgError,
  REQUEST,
  RUN_ID,
  type Setting,
  signedDetails,
  silence,
} from "./project.ts";

interface Case {
  readonly name: string;
  readonly setting?: Setting;
  readonly arrange: (project: FakeProject) => void;
  readonly code: Code;
  /** What the reason says, besides being short and clean. */
  readonly error: RegExp;
  /** Further entries of the context. */
  readonly context?: Record<string, unknown>;
  /** Whether there can be a row in backup_logs (default: yes). */
  readonly row?: false;
  /** Whether there can be a row in system_logs (default: yes). */
  readonly event?: false;
}

/** The backup of the night before. */
const OLD_ID = "11111111-7425-40de-944b-e07fc1f90ae7";

const VERIFY = { config: { verify_table: "backup_articles" } };
const RPC = /^POST \/rest\/v1\/rpc\//;
const CLAIM = /^POST \/rest\/v1\/backup_logs/;
const EVENT = /^POST \/rest\/v1\/system_logs/;
const FINISH = /^PATCH \/rest\/v1\/backup_logs/;

const rpcAnswers = (status: number, body: unknown) => (project: FakeProject) => {
  project.rpc = () => json(status, body);
};
const rpcError = (status: number, code: string, message: string) => (project: FakeProject) => {
  project.rpc = () => pgError(status, code, message);
};

const CASES: readonly Case[] = [
  // The backup itself
  {
    name: "success: false",
    arrange: rpcAnswers(200, {
      success: false,
      message: "Erro no backup",
      error: 'null value in column "published" violates not-null constraint',
      backup_id: BACKUP_ID,
    }),
    code: "backup_failed",
    error: /^backup_all_data informou falha: null value in column "published"/,
    context: { http_status: 200 },
  },
  {
    name: "success: false without an error text",
    arrange: rpcAnswers(200, { success: false }),
    code: "backup_failed",
    error: /informou falha: sem descrição do erro$/,
  },
  {
    name: "success: false with a message only",
    arrange: rpcAnswers(200, {
      success: false,
      message: "canceling statement due to lock timeout",
    }),
    code: "backup_failed",
    error: /: canceling statement due to lock timeout$/,
  },
  {
    name: "success: false whose error is a long text with a stack",
    arrange: rpcAnswers(200, { success: false, error: "x ".repeat(500) + "\n  at line 1" }),
    code: "backup_failed",
    error: /x…$/,
  },
  {
    name: "success: false whose error is an object",
    arrange: rpcAnswers(200, { success: false, error: { hint: "none" } }),
    code: "backup_failed",
    error: /: \{"hint":"none"\}$/,
  },
  { name: "null", arrange: rpcAnswers(200, null), code: "backup_empty", error: /: null$/ },
  { name: "a list", arrange: rpcAnswers(200, []), code: "backup_empty", error: /não é um objeto$/ },
  {
    name: "no success flag",
    arrange: rpcAnswers(200, { backup_id: BACKUP_ID }),
    code: "backup_empty",
    error: /falta o campo success$/,
  },
  {
    name: 'success: "true" is not true',
    arrange: rpcAnswers(200, { success: "true", backup_id: BACKUP_ID }),
    code: "backup_empty",
    error: /falta o campo success$/,
  },
  {
    name: "success without a backup_id",
    arrange: rpcAnswers(200, { success: true, total_records: 3 }),
    code: "backup_empty",
    error: /falta um backup_id válido$/,
  },
  {
    name: "success with a backup_id that is none",
    arrange: rpcAnswers(200, { success: true, backup_id: "17", total_records: 3 }),
    code: "backup_empty",
    error: /falta um backup_id válido$/,
  },
  {
    name: "an SQL function that returns nothing",
    arrange: (project) => project.rpc = () => new Response(null, { status: 204 }),
    code: "backup_empty",
    error: /resposta vazia$/,
  },

  // The proof
  {
    name: "success, but no rows of the backup",
    setting: VERIFY,
    arrange: rpcAnswers(200, { success: true, backup_id: BACKUP_ID, total_records: 3 }),
    code: "backup_unverified",
    error: new RegExp(`^a tabela backup_articles não tem linhas do backup ${BACKUP_ID}$`),
    context: { backup_id: BACKUP_ID, total_records: 3 },
  },
  {
    name: "success, but the table cannot be read",
    setting: VERIFY,
    arrange: (project) =>
      project.fault(
        /backup_articles/,
        () => pgError(403, "42501", "permission denied for table backup_articles"),
      ),
    code: "backup_unverified",
    error: /^não foi possível conferir a tabela backup_articles: HTTP 403, 42501, permission/,
    context: { sqlstate: "42501", http_status: 403, backup_id: BACKUP_ID },
  },

  // The RPC
  {
    name: "57014: statement timeout",
    arrange: rpcError(500, "57014", "canceling statement due to statement timeout"),
    code: "rpc_http",
    error: /^backup_all_data respondeu com erro: HTTP 500, 57014, canceling statement/,
    context: { sqlstate: "57014", http_status: 500 },
  },
  {
    name: "21000: DELETE without WHERE",
    arrange: rpcError(400, "21000", "DELETE requires a WHERE clause"),
    code: "rpc_http",
    error: /21000, DELETE requires a WHERE clause$/,
    context: { sqlstate: "21000", http_status: 400 },
  },
  {
    name: "42501: no right to run the SQL function",
    arrange: rpcError(403, "42501", "permission denied for function backup_all_data"),
    code: "rpc_http",
    error: /42501, permission denied for function/,
    context: { sqlstate: "42501", http_status: 403 },
  },
  {
    name: "PGRST202: no such SQL function",
    arrange: rpcError(404, "PGRST202", "Could not find the function public.backup_all_data"),
    code: "rpc_http",
    error: /PGRST202, Could not find/,
    context: { sqlstate: "PGRST202", http_status: 404 },
  },
  {
    name: "PGRST203: two SQL functions of the name",
    arrange: rpcError(300, "PGRST203", "Could not choose the best candidate function"),
    code: "rpc_http",
    error: /HTTP 300, PGRST203/,
    context: { sqlstate: "PGRST203" },
  },
  {
    name: "P0001: the SQL function raised",
    arrange: rpcError(400, "P0001", "sem espaço"),
    code: "rpc_http",
    error: /P0001, sem espaço$/,
    context: { sqlstate: "P0001" },
  },
  {
    name: "PGRST003: no connection free",
    arrange: rpcError(504, "PGRST003", "Timed out acquiring connection from connection pool."),
    code: "rpc_http",
    error: /HTTP 504, PGRST003/,
    context: { sqlstate: "PGRST003" },
  },
  {
    name: "57P01: PostgreSQL is shut down, and nothing was committed",
    arrange: rpcError(503, "57P01", "terminating connection due to administrator command"),
    code: "rpc_http",
    error: /HTTP 503, 57P01/,
    context: { sqlstate: "57P01" },
  },
  {
    name: "HTML with 200",
    arrange: (project) => project.rpc = () => html(200),
    code: "rpc_http",
    error: /respondeu com erro: HTTP 200 com text\/html em vez de JSON$/,
    context: { http_status: 200 },
  },
  {
    name: "HTML with 504",
    arrange: (project) => project.rpc = () => html(504),
    code: "rpc_http",
    error: /HTTP 504 com text\/html/,
    context: { http_status: 504 },
  },
  {
    name: "a gateway's JSON with 502",
    arrange: rpcAnswers(502, { message: "An invalid response was received" }),
    code: "rpc_http",
    error: /HTTP 502, An invalid response was received$/,
    context: { http_status: 502 },
  },
  {
    name: "JSON that breaks off",
    arrange: (project) =>
      project.rpc = () =>
        new Response('{"success":tr', { headers: { "Content-Type": "application/json" } }),
    code: "rpc_http",
    error: /HTTP 200 com JSON inválido$/,
  },
  {
    name: "an answer without a type",
    arrange: (project) => project.rpc = () => new Response(new Uint8Array([110])),
    code: "rpc_http",
    error: /HTTP 200 com conteúdo sem tipo em vez de JSON$/,
  },
  {
    name: "an empty 503",
    arrange: (project) => project.rpc = () => new Response(null, { status: 503 }),
    code: "rpc_http",
    error: /HTTP 503 sem conteúdo$/,
  },
  {
    name: "no answer in time, and no backup afterwards",
    arrange: (project) => project.rpc = silence,
    code: "rpc_timeout",
    error: /^backup_all_data não respondeu em 100 s, e nenhum backup novo foi encontrado$/,
  },
  {
    name: "no answer in time, and the logs cannot be read",
    arrange: (project) => {
      project.rpc = silence;
      project.fault(/^GET/, () => html(502), 99);
    },
    code: "rpc_timeout",
    error: /não respondeu em 100 s/,
  },
  {
    name: "no answer in time, and only an older backup in the log",
    arrange: (project) => {
      project.makeBackup();
      project.sleep(60_000);
      project.rpc = silence;
    },
    code: "rpc_timeout",
    error: /não respondeu em 100 s/,
  },
  {
    name: "no answer in time, and only a failed backup in the log",
    arrange: (project) =>
      project.rpc = () => {
        project.makeBackup();
        for (const row of project.backupLogs) row.success = false;
        return silence();
      },
    code: "rpc_timeout",
    error: /não respondeu em 100 s/,
  },
  {
    name: "no answer in time, and a logged backup without rows",
    setting: VERIFY,
    arrange: (project) =>
      project.rpc = () => {
        project.makeBackup();
        project.backupArticles.length = 0;
        return silence();
      },
    code: "rpc_timeout",
    error: /não respondeu em 100 s/,
  },
  {
    name: "no answer in time, and a logged backup that names no id",
    arrange: (project) =>
      project.rpc = () => {
        project.makeBackup();
        for (const row of project.backupLogs) {
          if (row.action_type === "backup") row.details = null;
        }
        project.systemLogs.length = 0;
        return silence();
      },
    code: "rpc_timeout",
    error: /não respondeu em 100 s/,
  },
  {
    name: "the connection breaks",
    arrange: (project) => project.fault(RPC, broken),
    code: "rpc_unreachable",
    error:
      /^backup_all_data não pôde ser chamada: falha de rede \(client error \(SendRequest\): connection closed/,
  },

  // The logs
  {
    name: "23514: the constraint does not allow auto_backup",
    arrange: (project) => project.actionTypes = ["backup", "restore"],
    code: "log_rejected",
    error: /^o banco recusou o registro em backup_logs: HTTP 400, 23514, new row/,
    context: { sqlstate: "23514", http_status: 400 },
    row: false,
  },
  {
    name: "42501: no right to insert into backup_logs",
    arrange: (project) =>
      project.fault(CLAIM, () => pgError(403, "42501", "permission denied for table backup_logs")),
    code: "log_rejected",
    error: /em backup_logs: HTTP 403, 42501/,
    context: { sqlstate: "42501" },
    row: false,
  },
  {
    name: "a conflict that is not a duplicate",
    arrange: (project) =>
      project.fault(CLAIM, () => pgError(409, "23503", "violates foreign key constraint")),
    code: "log_rejected",
    error: /HTTP 409, 23503/,
    row: false,
  },
  {
    name: "the key is refused",
    arrange: (project) => project.keys = [],
    code: "log_rejected",
    error: /em backup_logs: HTTP 401, Invalid API key$/,
    row: false,
    event: false,
  },
  {
    name: "the claim is answered by a page",
    arrange: (project) => project.fault(CLAIM, () => html(200), 9),
    code: "log_unreachable",
    error: /^não foi possível gravar em backup_logs: HTTP 200 com text\/html/,
    context: { http_status: 200 },
    row: false,
  },
  {
    name: "the claim is not answered",
    arrange: (project) => project.fault(CLAIM, silence, 9),
    code: "log_unreachable",
    error: /backup_logs: sem resposta em 4,5 s$/, // what the first attempt left of the time
    row: false,
  },
  {
    name: "the claim's answer is lost, and so is every look at it",
    arrange: (project) => {
      project.fault(CLAIM, broken, 9);
      project.fault(/^GET/, () => html(502), 99);
    },
    code: "log_unreachable",
    error: /backup_logs: HTTP 502 com text\/html/,
    row: false,
  },
  {
    name: "the database is away altogether",
    arrange: (project) => project.fault(/rest/, broken, 999),
    code: "log_unreachable",
    error: /backup_logs: falha de rede/,
    row: false,
    event: false,
  },
  {
    name: "system_logs refuses the success",
    arrange: (project) =>
      project.fault(EVENT, () => pgError(400, "22001", "value too long for type")),
    code: "log_rejected",
    error: /^o banco recusou o registro em system_logs: HTTP 400, 22001/,
    context: { sqlstate: "22001", backup_id: BACKUP_ID, total_records: 28 },
  },
  {
    name: "system_logs cannot be reached for the success",
    arrange: (project) => project.fault(EVENT, broken, 3),
    code: "log_unreachable",
    error: /gravar em system_logs: falha de rede/,
    context: { backup_id: BACKUP_ID },
  },
  {
    name: "system_logs refuses everything",
    arrange: (project) => project.fault(EVENT, () => pgError(403, "42501", "permission denied"), 9),
    code: "log_rejected",
    error: /system_logs: HTTP 403/,
    event: false,
  },
  {
    name: "the run's row has vanished",
    arrange: (project) =>
      project.fault(EVENT, (_, next) => {
        project.backupLogs.splice(0);
        return next();
      }),
    code: "log_rejected",
    error: /^o banco recusou o registro em backup_logs: a linha não existe$/,
    context: { backup_id: BACKUP_ID },
    row: false,
  },
  {
    name: "the last write changes two rows",
    arrange: (project) => project.fault(FINISH, () => json(200, [{ id: 1 }, { id: 2 }])),
    code: "log_rejected",
    error: /backup_logs: 2 linhas em vez de uma$/,
  },
  {
    name: "the last write is refused",
    arrange: (project) => project.fault(FINISH, () => pgError(403, "42501", "permission denied")),
    code: "log_rejected",
    error: /backup_logs: HTTP 403, 42501/,
    context: { backup_id: BACKUP_ID },
  },
  {
    name: "the last write is answered by a page",
    arrange: (project) => project.fault(FINISH, () => html(200), 3),
    code: "log_unreachable",
    error: /backup_logs: HTTP 200 com text\/html/,
    context: { backup_id: BACKUP_ID },
  },

  // The function itself
  {
    name: "an error that nobody foresaw",
    setting: {
      deps: {
        sleep: () => {
          throw new Error("timers are broken");
        },
      },
    },
    arrange: (project) => project.rpc = silence,
    code: "internal",
    error: /^erro interno da função: timers are broken$/,
  },
];

for (const { name, setting, arrange, code, error, context, row, event } of CASES) {
  // Each failure ends in the same way: said in the answer, in both logs and by exactly one alert,
  // and nowhere is there a row that claims success.
  Deno.test(`failure: ${name}`, async () => {
    const { project, post, log } = harness(setting);
    arrange(project);
    const response = await post({ wait: true });
    assert.equal(response.status, 500);
    const body = await response.json();
    assert.equal(body.success, false);
    assert.equal(body.code, code);
    assert.equal(body.run_id, RUN_ID);
    assert.match(body.error, error);
    assert([...body.error].length <= contract.limits.error_chars && !/\n/.test(body.error));
    assert.equal(body.message, `Backup automático falhou: ${body.error}`);

    assert(project.runs.every(({ success }) => success === false));
    assert.equal(project.runs.length, row === false ? 0 : 1);
    // Where system_logs cannot say that the alert was delivered, the panel's row does.
    const suffix = event === false ? contract.details_suffixes.delivered : "";
    for (const { details, records_affected } of project.runs) {
      const text = body.message + suffix;
      const wanted = event === false ? signedDetails(text) : text;
      assert.deepEqual([details, records_affected], [wanted, 0]);
    }

    assert.equal(body.signature, outcomeSignature("auto_backup_error", body));
    for (const { type, context } of project.events) {
      const { signature, ...document } = context as Row;
      assert.equal(signature, outcomeSignature(String(type), document));
    }

    assert.equal(project.events.length, event === false ? 0 : 1);
    for (const { type, message, context: written } of project.events) {
      assert.deepEqual([type, message], ["auto_backup_error", body.message]);
      const { failed_at, ...rest } = written as Record<string, unknown>;
      assert.match(String(failed_at), /^2025-03-01T06:0/);
      const expected = { ...REQUEST, ...context, code, error: body.error, alert: body.alert };
      for (const [key, value] of Object.entries({ ...expected, reported_by: "function" })) {
        assert.deepEqual(rest[key], value, key);
      }
    }

    const refused = project.keys.length === 0;
    assert.equal(project.alerts.length, refused ? 0 : 1);
    assert.equal(body.alert.state, refused ? "not_delivered" : "delivered");
    for (const { type, source, message, details, timestamp } of project.alerts) {
      assert.deepEqual([type, source], ["critical", "Falha no Backup Automático"]);
      assert.match(
        String(message),
        /^O backup automático auto-backup \(agendamento daily, tentativa 1\), previsto para 01\/03\/2025 às 03:00 \(America\/Sao_Paulo\), falhou\. Motivo: .+ O que fazer: .+\.$/,
      );
      assert.doesNotMatch(JSON.stringify([message, details]), /[<>&]/);
      assert.equal((details as Record<string, unknown>).code, code);
      assert(!Number.isNaN(Date.parse(String(timestamp))));
    }
    assert.match(log.at(-1) ?? "", new RegExp(`^run ${RUN_ID}: failed, ${code}: `));
  });
}

// Every code that a running function can give has a row in the table above; the
// interrupted run has its own tests.
Deno.test("failures: every code is covered", () => {
  const covered = new Set<string>([...CASES.map(({ code }) => code), "interrupted"]);
  const own = Object.entries(codes).filter(([, { arises }]) => arises.includes("function"));
  assert.deepEqual([...covered].sort(), own.map(([code]) => code).sort());
});

// An alert that reached only some, or nobody, is not told as one that reached everybody.
Deno.test("failure: the alert's outcome without system_logs", async () => {
  const outcomes: [number, number, string][] = [
    [2, 0, contract.details_suffixes.delivered],
    [1, 1, contract.details_suffixes.partly],
    [0, 2, ""],
  ];
  for (const [emails_sent, emails_failed, suffix] of outcomes) {
    const { project, post } = harness();
    project.rpc = () => json(200, null);
    project.fault(EVENT, () => pgError(403, "42501", "permission denied"), 9);
    project.alert = () => json(200, { emails_sent, emails_failed });
    const { message } = await (await post({ wait: true })).json();
    assert.equal(project.runs[0]?.details, signedDetails(message + suffix));
  }
});

// Without waiting, the same rows and the same alert come after the 202.
Deno.test("failure: behind the answer", async () => {
  const { project, post, idle } = harness();
  project.rpc = () => json(200, null);
  assert.equal((await post()).status, 202);
  await idle();
  assert.deepEqual([project.runs[0]?.success, project.events.length, project.alerts.length], [
    false,
    1,
    1,
  ]);
  assert.match(String(project.runs[0]?.details), /^Backup automático falhou: /);
});

// A run that cannot be claimed is answered with its failure, also to a caller that does not wait.
Deno.test("failure: the claim's failure is in the answer", async () => {
  const { project, post } = harness();
  project.actionTypes = ["backup", "restore"];
  const response = await post();
  assert.deepEqual([response.status, (await response.json()).code], [500, "log_rejected"]);
});

/** One way for an alert to end. */
interface AlertCase {
  readonly name: string;
  readonly arrange?: (project: FakeProject) => void;
  readonly setting?: Setting;
  readonly request?: Record<string, unknown>;
  readonly alert: Record<string, unknown>;
}

const alertAnswers = (status: number, body: unknown) => (project: FakeProject) => {
  project.alert = () => json(status, body);
};
const ALERT = /alert-processor/;

const ALERTS: readonly AlertCase[] = [
  {
    name: "delivered",
    alert: { state: "delivered", http_status: 200, emails_sent: 2, emails_failed: 0 },
  },
  {
    name: "switched off",
    setting: { config: { alert: null } },
    alert: { state: "off" },
  },
  { name: "not wanted by the caller", request: { alert: false }, alert: { state: "suppressed" } },
  {
    name: "no such function",
    arrange: (project) => project.fault(ALERT, () => json(404, { code: "NOT_FOUND" })),
    alert: {
      state: "not_delivered",
      http_status: 404,
      reason: "a função alert-processor não existe no projeto",
    },
  },
  {
    name: "no such function, in HTML",
    arrange: (project) => project.fault(ALERT, () => html(404)),
    alert: {
      state: "not_delivered",
      http_status: 404,
      reason: "a função alert-processor não existe no projeto",
    },
  },
  {
    name: "no JWT for a function that wants one",
    setting: { env: { SUPABASE_SERVICE_ROLE_KEY: undefined } },
    arrange: (project) => project.jwtGateway = true,
    alert: {
      state: "not_delivered",
      http_status: 401,
      reason: "alert-processor recusou a chamada (HTTP 401)",
    },
  },
  {
    name: "500",
    arrange: alertAnswers(500, { error: "Internal server error", details: "x" }),
    alert: {
      state: "not_delivered",
      http_status: 500,
      reason: "alert-processor: HTTP 500, Internal server error",
    },
  },
  {
    name: "200 with nobody to send to",
    arrange: alertAnswers(200, { message: "No alert subscribers found" }),
    alert: {
      state: "not_delivered",
      http_status: 200,
      reason: "alert-processor não enviou nenhum e-mail: No alert subscribers found",
    },
  },
  {
    name: "200 with nothing sent",
    arrange: alertAnswers(200, { emails_sent: 0, emails_failed: 0 }),
    alert: {
      state: "not_delivered",
      http_status: 200,
      reason: "alert-processor não enviou nenhum e-mail",
      emails_sent: 0,
      emails_failed: 0,
    },
  },
  {
    name: "200 with every e-mail failed",
    arrange: alertAnswers(200, { emails_sent: 0, emails_failed: 2 }),
    alert: {
      state: "not_delivered",
      http_status: 200,
      reason: "2 de 2 e-mails não foram enviados",
      emails_sent: 0,
      emails_failed: 2,
    },
  },
  {
    name: "200 with one e-mail failed",
    arrange: alertAnswers(200, { emails_sent: 1, emails_failed: 1 }),
    alert: {
      state: "not_delivered",
      http_status: 200,
      reason: "1 de 2 e-mails não foram enviados",
      emails_sent: 1,
      emails_failed: 1,
    },
  },
  {
    name: "200 with a page",
    arrange: (project) => project.alert = () => html(200),
    alert: {
      state: "not_delivered",
      http_status: 200,
      reason: "alert-processor: HTTP 200 com text/html em vez de JSON",
    },
  },
  {
    name: "200 with null",
    arrange: alertAnswers(200, null),
    alert: { state: "not_delivered", http_status: 200, reason: "alert-processor: HTTP 200" },
  },
  {
    name: "too slow",
    arrange: (project) => project.alert = silence,
    alert: { state: "not_delivered", reason: "alert-processor: sem resposta em 30 s" },
  },
  {
    name: "broken connection",
    arrange: (project) =>
      project.fault(ALERT, () => {
        throw new Error("connection refused");
      }),
    alert: {
      state: "not_delivered",
      reason: "alert-processor: falha de rede (connection refused)",
    },
  },
];

for (const { name, arrange, setting, request, alert } of ALERTS) {
  // The alert's true outcome is in the row of system_logs, for the watchdog to act on; the
  // alert function is called at most once.
  Deno.test(`alert: ${name}`, async () => {
    const { project, post } = harness(setting);
    project.rpc = () => json(200, null);
    arrange?.(project);
    const body = await (await post({ wait: true, ...request })).json();
    const { at, ...written } = body.alert;
    assert.deepEqual(written, alert);
    const called = alert.state === "delivered" || alert.state === "not_delivered";
    assert.equal(typeof at, called ? "string" : "undefined");
    const calls = project.calls.filter(({ path }) => path.startsWith("/functions/"));
    assert.equal(calls.length, called ? 1 : 0);
    assert.equal(project.events.length, 1);
    const context = project.events[0]?.context as Record<string, unknown>;
    assert.deepEqual(context.alert, body.alert);
  });
}

// While the alert is under way the row says so; if the function dies now, the watchdog knows.
Deno.test("alert: pending until its outcome is known", async () => {
  const { project, post } = harness();
  project.rpc = () => json(200, null);
  let meanwhile: unknown;
  project.alert = () => {
    meanwhile = structuredClone(project.events[0]?.context);
    return json(200, { emails_sent: 1, emails_failed: 0 });
  };
  await post({ wait: true });
  assert.deepEqual((meanwhile as Record<string, unknown>).alert, { state: "pending" });
});

// What SQL says may contain anything; the alert function would put it into HTML as it stands.
Deno.test("alert: nothing in it can be read as HTML", async () => {
  const source = "Falha <b>no</b> Backup & Cia";
  const { project, post } = harness({
    config: { alert: { function: "alert-processor", source } },
  });
  project.rpc = () => json(200, { success: false, error: "a<img src=x onerror=y> & b" });
  await post({ wait: true });
  assert.doesNotMatch(JSON.stringify(project.alerts), /[<>&]/);
  assert.equal(project.alerts[0]?.source, "Falha ‹b›no‹/b› Backup ＆ Cia");
});

// The advice follows the SQLSTATE where there is one, and a backup that was made is not denied.
Deno.test("alert: says what to do and what was saved", async () => {
  const { project, post } = harness();
  project.rpc = () => pgError(500, "57014", "canceling statement due to statement timeout");
  await post({ wait: true });
  assert.equal(
    project.alerts[0]?.message,
    "O backup automático auto-backup (agendamento daily, tentativa 1), previsto para " +
      "01/03/2025 às 03:00 (America/Sao_Paulo), falhou. Motivo: backup_all_data respondeu com " +
      "erro: HTTP 500, 57014, canceling statement due to statement timeout. Nenhum backup novo " +
      `foi confirmado nesta execução. O que fazer: ${codes.rpc_http.sqlstates["57014"].advice}.`,
  );

  const saved = harness();
  saved.project.fault(FINISH, () => html(502), 3);
  await saved.post({ wait: true });
  assert.match(
    String(saved.project.alerts[0]?.message),
    new RegExp(`O banco informou o backup ${BACKUP_ID}, mas a execução não pôde ser concluída`),
  );
});

async function succeeds({ project, post }: Harness): Promise<void> {
  const response = await post({ wait: true });
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  assert.equal(body.backup_id, BACKUP_ID);
  assert.deepEqual(project.runs.map(({ success }) => success), [true]);
  assert.deepEqual(project.events.map(({ type }) => type), ["auto_backup"]);
  assert.deepEqual(project.alerts, []);
}

// An RPC whose answer is lost may have worked: its own log row tells, also when it comes late.
Deno.test("lost answers: a backup that committed after the timeout is a success", async () => {
  const h = harness(VERIFY);
  h.project.rpc = silence;
  h.project.fault(/^GET .*action_type/, () => {
    h.project.makeBackup();
    return json(200, []);
  });
  await succeeds(h);
  const context = h.project.events[0]?.context as Record<string, unknown>;
  assert.deepEqual([context.found_in_log, context.total_records], [true, 28]);
  assert.equal("articles_count" in context, false);
});

// The backup's id is taken from system_logs where backup_logs does not name it.
Deno.test("lost answers: the backup's id in system_logs", async () => {
  const h = harness();
  h.project.rpc = () => {
    h.project.makeBackup();
    for (const row of h.project.backupLogs) {
      if (row.action_type === "backup") {
        Object.assign(row, { details: null, records_affected: null });
      }
    }
    return html(504);
  };
  await succeeds(h);
  assert.equal(h.project.runs[0]?.records_affected, 28);
});

// Many roles can write backup_logs, so the log names a backup and the backup tables show that it was
// made in this run. This is attack 13: the RPC's answer is lost, and a row names last night's backup.
for (
  const [what, forge, config] of [
    ["an old backup", (project: FakeProject) => project.makeBackup(28, OLD_ID), {}],
    ["an old backup, with verify_table", (project: FakeProject) => {
      project.makeBackup(28, OLD_ID);
    }, VERIFY.config],
    ["an old backup that got a new row", (project: FakeProject) => {
      project.makeBackup(28, OLD_ID);
      project.backupArticles.push({ backup_id: OLD_ID, backup_created_at: "2025-03-01T06:00:09Z" });
    }, {}],
    ["a backup that is nowhere", () => {}, {}],
  ] as const
) {
  Deno.test(`lost answers: attack 13, the log names ${what}`, async () => {
    const h = harness({ config });
    forge(h.project);
    for (const row of [...h.project.backupLogs, ...h.project.systemLogs]) {
      row.created_at = "2025-02-28T06:00:00.000Z";
    }
    for (const row of h.project.backupArticles.slice(0, 1)) {
      row.backup_created_at = "2025-02-28T06:00:00.000Z";
    }
    await h.project.sleep(5000);
    h.project.rpc = () => {
      h.project.backupLogs.push({
        id: crypto.randomUUID(),
        action_type: "backup",
        created_at: h.project.now().toISOString(),
        records_affected: 28,
        details: `Backup ID: ${OLD_ID} - Articles: 28`,
        success: true,
      });
      return html(504);
    };
    const result = await (await h.post({ wait: true })).json();
    assert.deepEqual([result.success, result.code], [false, "rpc_http"]);
  });
}

// The claim's row may be changed by others, so its time is not the only bound.
Deno.test("lost answers: attack 13, the claim's row is dated back", async () => {
  const h = harness();
  await h.project.sleep(5000);
  h.project.makeBackup(28, OLD_ID);
  await h.project.sleep(5000);
  h.project.rpc = () => {
    for (const row of h.project.runs) row.created_at = "2025-03-01T06:00:00.000Z";
    return html(504);
  };
  const result = await (await h.post({ wait: true })).json();
  assert.deepEqual([result.success, result.code], [false, "rpc_http"]);
});

// A forged row does not hide the backup that was made.
Deno.test("lost answers: a forged row before the true one", async () => {
  const h = harness();
  h.project.rpc = () => {
    h.project.backupLogs.push({
      id: crypto.randomUUID(),
      action_type: "backup",
      created_at: h.project.now().toISOString(),
      records_affected: 4242,
      details: `Backup ID: ${OLD_ID} - Articles: 4242`,
      success: true,
    });
    h.project.makeBackup();
    return html(504);
  };
  await succeeds(h);
});

// A connection that is lost between commit and confirmation leaves a backup behind, and so does a
// gateway that stops waiting. Where the database itself refused there is nothing to look for.
for (
  const [answer, looked] of [
    [pgError(503, "57P01", "terminating connection due to administrator command"), true],
    [pgError(503, "08006", "connection failure"), true],
    [pgError(503, "PGRST001", "Database client error"), true],
    [json(502, { message: "An invalid response was received" }), true],
    [pgError(504, "PGRST003", "Timed out acquiring connection from connection pool."), false],
    [pgError(503, "53300", "sorry, too many clients already"), false],
    [pgError(500, "P0108", "57P"), false],
    [pgError(400, "57P01", "raised by the SQL function"), false],
  ] as const
) {
  const { status } = answer;
  const { code = "no code" } = await answer.clone().json();
  Deno.test(`lost answers: ${status} with ${code} after the commit`, async () => {
    const h = harness();
    h.project.rpc = () => {
      h.project.makeBackup();
      return answer;
    };
    if (looked) return await succeeds(h);
    const result = await (await h.post({ wait: true })).json();
    assert.equal(result.code, "rpc_http");
    const looks = h.project.calls.filter(({ query }) => query.get("action_type") === "eq.backup");
    assert.equal(looks.length, 0);
  });
}

// A claim that was committed although its answer was lost is this delivery's own.
Deno.test("lost answers: the claim", async () => {
  const h = harness();
  h.project.fault(CLAIM, async (_, next) => {
    await next();
    return broken();
  });
  await succeeds(h);
});

// A claim that is repeated, and then meets its own row, is not taken for another delivery's.
Deno.test("lost answers: the claim arrives after it was looked for", async () => {
  const h = harness();
  let late: () => Promise<Response> = () => Promise.reject();
  h.project.fault(CLAIM, (_, next) => {
    late = next;
    return broken();
  });
  h.project.fault(CLAIM, async (_, next) => {
    await late();
    return await next();
  });
  await succeeds(h);
});

// Where another delivery's claim is found instead, the run is its own.
Deno.test("lost answers: another delivery's claim", async () => {
  for (const found of ["by the look", "by the conflict", "gone again"]) {
    const { project, post } = harness();
    const row = { id: RUN_ID, action_type: "auto_backup", details: "other", success: false };
    project.fault(CLAIM, () => {
      if (found === "by the look") project.backupLogs.push(row);
      return broken();
    });
    project.fault(CLAIM, (_, next) => {
      project.backupLogs.push(row);
      const answer = next();
      if (found === "gone again") project.backupLogs.pop();
      return answer;
    });
    const response = await post({ wait: true });
    assert.deepEqual([response.status, (await response.json()).code], [409, "duplicate"], found);
    assert.deepEqual(project.events, []);
  }
});

// A conflict after a lost answer whose owner cannot be found out is not a claim.
Deno.test("lost answers: a conflict that cannot be looked into", async () => {
  const { project, post } = harness();
  project.fault(CLAIM, broken);
  project.fault(CLAIM, () => pgError(409, "23505", "duplicate key"), 9);
  project.fault(/^GET .*select=details/, () => json(200, []));
  project.fault(/^GET .*select=details/, () => html(502), 99);
  const body = await (await post({ wait: true })).json();
  assert.equal(body.code, "log_unreachable");
});

// A row of system_logs that was written although its answer was lost is not written twice.
Deno.test("lost answers: the row of system_logs", async () => {
  const h = harness();
  h.project.fault(EVENT, async (_, next) => {
    await next();
    return html(502);
  });
  // Rows of others about the same run are left alone.
  h.project.systemLogs.push({ id: 0, type: "email", message: "", context: { run_id: RUN_ID } });
  await succeeds(h);
});

// A row of system_logs whose id is not told is found again instead of being written twice.
Deno.test("lost answers: the id of the row of system_logs", async () => {
  const { project, post } = harness();
  project.rpc = () => json(200, null);
  project.fault(EVENT, async (_, next) => {
    await next();
    return json(201, [{}]);
  });
  await post({ wait: true });
  assert.deepEqual(project.events.map(({ type }) => type), ["auto_backup_error"]);
});

// The last write is repeated until it is known to have worked.
Deno.test("lost answers: the last write", async () => {
  const h = harness();
  h.project.fault(FINISH, () => pgError(503, "PGRST002", "schema cache"));
  h.project.fault(FINISH, async (_, next) => {
    await next();
    return broken();
  });
  await succeeds(h);
});

// Repetitions end after a while, so that there is time left for the alert.
Deno.test("lost answers: repetitions have a budget of time", async () => {
  const { project, post } = harness();
  project.fault(/rest\/v1\/backup_logs/, async () => {
    await project.sleep(10_000);
    return html(504);
  }, 99);
  const started = project.now().getTime();
  await post({ wait: true });
  assert.equal(project.calls.filter(({ path }) => path.endsWith("backup_logs")).length, 2);
  assert(project.now().getTime() - started < 25_000);
  assert.equal(project.alerts.length, 1);
});
