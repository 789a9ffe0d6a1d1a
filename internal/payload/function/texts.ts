/**
 * All texts for the admin panel and for e-mails, in Brazilian Portuguese. The panel shows all rows of
 * unknown types in the same way, so each text of backup_logs begins with "Backup automático".
 */

import { clip, plainText } from "./clean.ts";
import codes from "./codes.json" with { type: "json" };
import contract from "./contract.json" with { type: "json" };
import type { BackupRequest } from "./request.ts";
import type { Problem } from "./supabase.ts";

/** A failure's code. codes.json describes each one. */
export type Code = keyof typeof codes;

/** The texts about a code in codes.json that the function uses. */
interface CodeTexts {
  readonly reason: string;
  readonly advice: string;
  readonly sqlstates?: Readonly<Record<string, { readonly advice: string }>>;
}

const prefixes = contract.details_prefixes;

/** details of backup_logs while the backup is running. delivery is unique for every delivery. */
export function startedDetails(at: Date, timezone: string, delivery: string): string {
  return `${prefixes.started} em ${localTime(at.toISOString(), timezone)}, entrega ${delivery}`;
}

/** details of backup_logs after a success. */
export function successDetails(backupId: string, records: number): string {
  return `${prefixes.success}${backupId} - Total: ${records} registros`;
}

/** details of backup_logs, and message of system_logs, after a failure. */
export function failureDetails(code: Code, reason: string): string {
  return (code === "interrupted" ? prefixes.interrupted : prefixes.failed) + reason;
}

/**
 * End of details of backup_logs if an alert was sent and its outcome could not be written to
 * system_logs. The watchdog reads it and does not alert again.
 */
export function alertedSuffix(sent: number, failed: number): string {
  if (sent < 1) return "";
  return failed > 0 ? contract.details_suffixes.partly : contract.details_suffixes.delivered;
}

/** message of system_logs after a success. */
export function successMessage(records: number): string {
  const count = records === 1 ? "1 registro salvo" : `${records} registros salvos`;
  return `Backup automático concluído com sucesso: ${count}`;
}

/** Says in a few words why a call failed. */
export function problemText(problem: Problem): string {
  const http = `HTTP ${problem.status}`;
  switch (problem.cause) {
    case "timeout":
      return `sem resposta em ${problem.detail.replace(".", ",")}`;
    case "network":
      return `falha de rede (${problem.detail})`;
    case "empty":
      return `${http} sem conteúdo`;
    case "foreign":
      return /json/i.test(problem.detail)
        ? `${http} com JSON inválido`
        : `${http} com ${problem.detail || "conteúdo sem tipo"} em vez de JSON`;
    case "rows":
      return problem.detail === "0"
        ? "a linha não existe"
        : `${problem.detail} linhas em vez de uma`;
    case "answer":
      return [http, problem.sqlstate, problem.detail].filter(Boolean).join(", ");
  }
}

/** Why a run failed: one line for logs and e-mail, of at most limits.error_chars characters. */
export const reasons = {
  backupFailed: (rpc: string, error: string): string =>
    clip(`${rpc} informou falha: ${error || "sem descrição do erro"}`),

  backupEmpty: (rpc: string, what: string): string =>
    clip(`${rpc} não devolveu um resultado válido: ${what}`),

  unverified: (table: string, backupId: string): string =>
    clip(`a tabela ${table} não tem linhas do backup ${backupId}`),

  notVerifiable: (table: string, problem: Problem): string =>
    clip(`não foi possível conferir a tabela ${table}: ${problemText(problem)}`),

  rpcTimeout: (rpc: string, ms: number): string =>
    clip(`${rpc} não respondeu em ${seconds(ms)}, e nenhum backup novo foi encontrado`),

  rpcHttp: (rpc: string, problem: Problem): string =>
    clip(`${rpc} respondeu com erro: ${problemText(problem)}`),

  rpcUnreachable: (rpc: string, problem: Problem): string =>
    clip(`${rpc} não pôde ser chamada: ${problemText(problem)}`),

  logRejected: (table: string, problem: Problem): string =>
    clip(`o banco recusou o registro em ${table}: ${problemText(problem)}`),

  logUnreachable: (table: string, problem: Problem): string =>
    clip(`não foi possível gravar em ${table}: ${problemText(problem)}`),

  interrupted: (reason: string): string =>
    clip(`${codes.interrupted.reason} (${stopReasons[reason] ?? reason})`),

  internal: (error: string): string => clip(`erro interno da função: ${error}`),
};

function seconds(ms: number): string {
  return `${new Intl.NumberFormat("pt-BR").format(ms / 1000)} s`;
}

/** The platform's reasons in the event beforeunload. */
const stopReasons: Readonly<Record<string, string>> = {
  cpu: "limite de CPU",
  memory: "limite de memória",
  wall_clock: "limite de tempo de execução",
  early_drop: "instância descartada",
  termination: "instância encerrada",
};

/** What the reader of an alert should do, if possible for the SQLSTATE. */
function advice(code: Code, sqlstate = ""): string {
  const entry: CodeTexts = codes[code];
  return (entry.sqlstates?.[sqlstate] ?? entry).advice;
}

/**
 * The alert's message. The alert function copies it into HTML unchanged, so it is one line of plain
 * text.
 *
 * @param savedBackupId ID of a backup that was made although the run failed
 */
export function alertMessage(
  request: BackupRequest,
  timezone: string,
  failure: { code: Code; reason: string; sqlstate?: string | undefined },
  savedBackupId?: string,
): string {
  const saved = savedBackupId === undefined
    ? "Nenhum backup novo foi confirmado nesta execução."
    : `O banco informou o backup ${savedBackupId}, mas a execução não pôde ser concluída.`;
  const next = advice(failure.code, failure.sqlstate);
  return plainText(
    `O backup automático ${request.backup} (agendamento ${request.schedule}, ` +
      `tentativa ${request.attempt}), previsto para ${localTime(request.dueAt, timezone)}, ` +
      `falhou. Motivo: ${failure.reason.replace(/[.…]?$/, (end) => end === "…" ? "…" : ".")} ` +
      `${saved} O que fazer: ${next}.`,
  );
}

/** Why an alert does not count as delivered. */
export const alertReasons = {
  missing: (slug: string): string => `a função ${slug} não existe no projeto`,
  refused: (slug: string, status: number): string => `${slug} recusou a chamada (HTTP ${status})`,
  failed: (slug: string, problem: Problem): string => clip(`${slug}: ${problemText(problem)}`),
  nothingSent: (slug: string, message: string): string =>
    clip(`${slug} não enviou nenhum e-mail${message === "" ? "" : `: ${message}`}`),
  partly: (failed: number, sent: number): string =>
    `${failed} de ${failed + sent} e-mails não foram enviados`,
  interrupted: "a função foi encerrada antes de enviar o alerta",
};

/** What an invalid result lacks. */
export const lacks = {
  nothing: "resposta vazia",
  null: "null",
  noObject: "a resposta não é um objeto",
  noFlag: "falta o campo success",
  noBackupId: "falta um backup_id válido",
};

/** A time in a time zone, or in UTC if the runtime does not know the zone. */
export function localTime(instant: string, timezone: string): string {
  const at = new Date(instant);
  try {
    return `${formatTime(at, timezone)} (${timezone})`;
  } catch {
    return `${formatTime(at, "UTC")} (UTC)`;
  }
}

function formatTime(at: Date, timeZone: string): string {
  const format = new Intl.DateTimeFormat("pt-BR", {
    timeZone,
    day: "2-digit",
    month: "2-digit",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  });
  return format.format(at).replace(/,?\s+/, " às ");
}
