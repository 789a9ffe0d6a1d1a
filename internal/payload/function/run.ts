/**
 * One run: claim, backup, verification and two log rows; or a failure and its alert. Nothing here
 * throws to its caller: every run ends with a result.
 */

import { type AlertRecord, sendAlert } from "./alert.ts";
import type { Clean } from "./clean.ts";
import { type Config, isInteger, isRecord } from "./config.ts";
import contract from "./contract.json" with { type: "json" };
import { type Limits, RunLog, type Sleep, type SystemLogRow, within } from "./log.ts";
import { signDetails, signOutcome } from "./outcome.ts";
import type { BackupRequest } from "./request.ts";
import type { Answer, Problem, Row, Supabase } from "./supabase.ts";
import {
  alertedSuffix,
  alertMessage,
  alertReasons,
  type Code,
  failureDetails,
  lacks,
  reasons,
  startedDetails,
  successDetails,
  successMessage,
} from "./texts.ts";
import type { Sign } from "./token.ts";

/** What a run needs. */
export interface RunContext {
  readonly config: Config;
  readonly supabase: Supabase;
  readonly clean: Clean;
  /** Signs with the token of the request. */
  readonly sign: Sign;
  readonly limits: Limits;
  readonly now: () => Date;
  readonly sleep: Sleep;
  /** Writes one line to the function's own log, which only the project's owner can read. */
  readonly log: (line: string) => void;
}

/** How a run ended. */
export type Result =
  | {
    readonly success: true;
    readonly message: string;
    readonly run_id: string;
    readonly backup_id: string;
    readonly total_records: number;
    readonly signature: string;
  }
  | {
    readonly success: false;
    readonly code: Code;
    readonly message: string;
    readonly error: string;
    readonly run_id: string;
    readonly alert: AlertRecord;
    readonly signature: string;
  };

/** A backup that the database has reported. */
interface Backup {
  readonly id: string;
  readonly records: number;
  /** Counts per table that the database reported. */
  readonly counts: Row;
  /** When the function learned that the backup was made. */
  readonly at: Date;
  /** Whether it was found in the logs because the RPC's response was lost. */
  readonly found: boolean;
}

const UUID = new RegExp(contract.request_fields.run_id.pattern);
const UUID_INSIDE = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i;

/** A failure of the run, with its reason in Portuguese. */
class Failure extends Error {
  constructor(
    readonly code: Code,
    readonly reason: string,
    /** Additional fields of the log's context. */
    readonly facts: Row = {},
  ) {
    super(reason);
  }
}

/** One run. Call claim first, then execute if it was claimed or abandon if that failed. */
export class Run {
  readonly #request: BackupRequest;
  readonly #context: RunContext;
  readonly #log: RunLog;
  readonly #startedAt: Date;
  /** When the RPC times out, in milliseconds since 1970. The time of the claim is part of it. */
  readonly #rpcUntil: number;
  /** When the search for a lost backup, or its verification, ends at the latest. */
  readonly #settledBy: number;
  /** When writes before the alert end at the latest. */
  #loggedBy: number;
  /** It is "running" from the claim until the outcome of the backup is known. */
  #stage: "claiming" | "running" | "ending" = "claiming";
  #claimed = false;
  #interruption: string | null = null;
  /** How many rows for system_logs there have been. */
  #revision = 0;
  /** The backup that the database reported, even if the run fails afterwards. */
  #backup: Backup | null = null;

  constructor(request: BackupRequest, context: RunContext) {
    this.#request = request;
    this.#context = context;
    const { config, limits, now, sleep, supabase } = context;
    this.#startedAt = now();
    this.#rpcUntil = this.#startedAt.getTime() + config.rpcTimeoutMs;
    this.#settledBy = this.#rpcUntil + limits.settle_timeout_ms;
    this.#loggedBy = this.#settledBy + limits.write_budget_ms;
    const latest = () => this.#loggedBy;
    this.#log = new RunLog(supabase, request.runId, { limits, now, sleep, latest });
  }

  /** Claims the run for this delivery of the request. */
  async claim(): Promise<"claimed" | "duplicate" | Problem> {
    const delivery = crypto.randomUUID().slice(0, 8);
    const claim = await this.#log.claim(
      startedDetails(this.#startedAt, this.#context.config.timezone, delivery),
    );
    this.#claimed = claim === "claimed";
    return claim;
  }

  /** Makes the backup and logs the outcome. */
  async execute(): Promise<Result> {
    this.#stage = "running";
    try {
      if (this.#interruption !== null) await this.#recordInterruption(this.#interruption);
      const backup = await this.#makeBackup();
      this.#stage = "ending";
      return await this.#succeed(backup);
    } catch (error) {
      return await this.#fail(this.#asFailure(error));
    }
  }

  /** Logs that the run could not be claimed, and alerts. */
  abandon(problem: Problem): Promise<Result> {
    return this.#fail(logFailure("backup_logs", problem));
  }

  /**
   * Logs that the platform is about to stop the function. The run continues: if it still ends in
   * time, its outcome replaces this entry.
   */
  async interrupt(reason: string): Promise<void> {
    if (this.#interruption !== null) return;
    this.#interruption = this.#context.clean(reason);
    // Before the claim, the run may be another delivery's. Once the outcome is known, its rows are
    // being written, and an entry about the interruption would contradict them.
    if (this.#stage === "running") await this.#recordInterruption(this.#interruption);
  }

  async #recordInterruption(reason: string): Promise<void> {
    const failure = new Failure("interrupted", reasons.interrupted(reason));
    const alert = this.#alertState();
    // An alert in progress may or may not arrive. The watchdog sends it instead.
    const record: AlertRecord = alert === "pending"
      ? { state: "not_delivered", reason: alertReasons.interrupted }
      : { state: alert };
    const logged = await this.#writeFailure(failure, record);
    // The run may have ended meanwhile, and its own entry must stay.
    if (!logged && this.#stage === "running") await this.#signDetails(failure, record);
  }

  async #makeBackup(): Promise<Backup> {
    const { config, supabase, now } = this.#context;
    const timeout = within(config.rpcTimeoutMs, this.#rpcUntil, now());
    const answer = await supabase.call(config.rpc, timeout);
    const backup = this.#backup = this.#judge(answer) ?? await this.#findBackup(answer);
    if (config.verifyTable !== null && !backup.found) {
      const failure = await this.#verify(config.verifyTable, backup.id, this.#settledBy);
      if (failure !== null) throw failure;
    }
    return backup;
  }

  /**
   * Evaluates the RPC's response.
   *
   * @returns the backup, or null if the response does not tell whether there is one: it came too
   * late, was lost, or is not PostgREST's.
   */
  #judge(answer: Answer): Backup | null {
    const { rpc } = this.#context.config;
    const empty = (what: string) => new Failure("backup_empty", reasons.backupEmpty(rpc, what));
    if (answer.kind === "empty" && answer.status < 300) throw empty(lacks.nothing);
    if (answer.kind !== "json") return null;
    const problem = this.#context.supabase.problem(answer);
    if (answer.status < 200 || answer.status > 299) {
      if (leavesOpen(problem)) return null;
      throw new Failure("rpc_http", reasons.rpcHttp(rpc, problem), problemFacts(problem));
    }

    const body = answer.body;
    if (body === null) throw empty(lacks.null);
    if (!isRecord(body)) throw empty(lacks.noObject);
    if (body.success === false) {
      const error = this.#context.clean(body.error ?? body.message ?? "");
      throw new Failure("backup_failed", reasons.backupFailed(rpc, error), { http_status: 200 });
    }
    if (body.success !== true) throw empty(lacks.noFlag);
    if (typeof body.backup_id !== "string" || !UUID.test(body.backup_id)) {
      throw empty(lacks.noBackupId);
    }
    const counts = Object.fromEntries(
      contract.count_fields.filter((name) => isCount(body[name])).map((name) => [name, body[name]]),
    );
    const sum = Object.values(counts).filter(isCount).reduce((a, b) => a + b, 0);
    return {
      id: body.backup_id.toLowerCase(),
      records: isCount(body.total_records) ? body.total_records : sum,
      counts,
      at: this.#context.now(),
      found: false,
    };
  }

  /**
   * Looks for the backup of an RPC whose response was lost: the database may still finish the call
   * after the caller has stopped waiting.
   */
  async #findBackup(lost: Answer): Promise<Backup> {
    const { limits, now, sleep, config, supabase } = this.#context;
    const deadline = now().getTime() + limits.settle_timeout_ms;
    for (;;) {
      const backup = await this.#committedBackup(deadline);
      if (backup !== null) return backup;
      if (now().getTime() + limits.settle_interval_ms > deadline) break;
      await sleep(limits.settle_interval_ms);
    }
    const problem = supabase.problem(lost);
    if (lost.kind === "timeout") {
      throw new Failure("rpc_timeout", reasons.rpcTimeout(config.rpc, config.rpcTimeoutMs));
    }
    if (problem.status === undefined) {
      throw new Failure("rpc_unreachable", reasons.rpcUnreachable(config.rpc, problem));
    }
    throw new Failure("rpc_http", reasons.rpcHttp(config.rpc, problem), problemFacts(problem));
  }

  /**
   * The first backup that the database has logged since this run was claimed, and whose rows are no
   * older. Many roles can write the log, so a row of it alone may name any backup.
   */
  async #committedBackup(until: number): Promise<Backup | null> {
    const { supabase, limits, now } = this.#context;
    const timeout = () => within(limits.read_timeout_ms, until, now());
    const claimed = await this.#log.claimedAt(timeout());
    if (claimed === null) return null;
    // Both are times of the database. Others may have changed the first, but not the second.
    const { sentAt } = this.#request;
    const since = Date.parse(claimed) > Date.parse(sentAt) ? claimed : sentAt;
    const made = {
      created_at: `gte.${since}`,
      order: "created_at.asc",
      limit: String(limits.settle_rows),
    };
    const logs = await supabase.select("backup_logs", {
      select: "records_affected,details",
      action_type: `eq.${contract.rpc_action_type}`,
      success: "eq.true",
      ...made,
    }, timeout());
    if (!logs.ok || logs.value.length === 0) return null;
    const candidates = logs.value.map((row): [unknown, unknown] => [
      row.details,
      row.records_affected,
    ]);
    if (logs.value.some(({ details }) => uuidIn(details) === undefined)) {
      const events = await supabase.select("system_logs", {
        select: "context",
        type: `eq.${contract.rpc_action_type}`,
        ...made,
      }, timeout());
      for (const { context } of events.ok ? events.value : []) {
        if (isRecord(context)) candidates.push([context.backup_id, context.total_records]);
      }
    }
    const seen = new Set<string>();
    for (const [text, count] of candidates) {
      const id = uuidIn(text);
      if (id === undefined || seen.has(id)) continue;
      seen.add(id);
      if (!await this.#isNew(id, since, until)) continue;
      return { id, records: isCount(count) ? count : 0, counts: {}, at: now(), found: true };
    }
    return null;
  }

  /** Whether the backup tables have rows of a backup, none of which is older than a time. */
  async #isNew(backupId: string, since: string, until: number): Promise<boolean> {
    const { config, supabase, limits, now } = this.#context;
    const { verifyTable } = config;
    const tables = verifyTable === null ? contract.backup_tables : [verifyTable];
    let found = false;
    for (const table of tables) {
      const oldest = await supabase.select(table, {
        select: "backup_id,backup_created_at",
        backup_id: `eq.${backupId}`,
        order: "backup_created_at.asc",
        limit: "1",
      }, within(limits.read_timeout_ms, until, now()));
      const [row] = oldest.ok ? oldest.value : [];
      if (row === undefined) continue;
      const at = Date.parse(String(row.backup_created_at));
      if (row.backup_id !== backupId || !(at >= Date.parse(since))) return false;
      found = true;
    }
    return found;
  }

  /** Checks that the backup's rows exist. Returns null if they do. */
  async #verify(table: string, backupId: string, until: number): Promise<Failure | null> {
    const { supabase, limits, now } = this.#context;
    const rows = await supabase.select(
      table,
      { select: "backup_id", backup_id: `eq.${backupId}`, limit: "1" },
      within(limits.read_timeout_ms, until, now()),
    );
    if (!rows.ok) {
      return new Failure(
        "backup_unverified",
        reasons.notVerifiable(table, rows.problem),
        problemFacts(rows.problem),
      );
    }
    if (rows.value.some((row) => row.backup_id === backupId)) return null;
    return new Failure("backup_unverified", reasons.unverified(table, backupId));
  }

  async #succeed(backup: Backup): Promise<Result> {
    const type = contract.log_types.success;
    const event = await this.#log.setSystemLog(this.#signed(type, successMessage(backup.records), {
      ...this.#identity(),
      backup_id: backup.id,
      total_records: backup.records,
      executed_at: backup.at.toISOString(),
      duration_ms: backup.at.getTime() - this.#startedAt.getTime(),
      ...backup.counts,
      ...(backup.found ? { found_in_log: true } : {}),
    }));
    if (event !== null) throw logFailure("system_logs", event);
    const details = successDetails(backup.id, backup.records);
    const row = await this.#log.setBackupLog({
      success: true,
      records_affected: backup.records,
      details,
    });
    if (row !== null) throw logFailure("backup_logs", row);

    this.#context.log(`run ${this.#request.runId}: succeeded, ${backup.records} records`);
    return await signOutcome(this.#context.sign, type, {
      success: true,
      message: details,
      run_id: this.#request.runId,
      backup_id: backup.id,
      total_records: backup.records,
    });
  }

  async #fail(failure: Failure): Promise<Result> {
    this.#stage = "ending";
    const { config, supabase, limits, clean, now } = this.#context;
    let alert: AlertRecord = { state: this.#alertState() };
    let logged = await this.#writeFailure(failure, alert);
    if (alert.state === "pending" && config.alert !== null) {
      const { code, reason, facts } = failure;
      const sqlstate = typeof facts.sqlstate === "string" ? facts.sqlstate : undefined;
      const outcome = await sendAlert(
        supabase,
        config.alert,
        {
          message: alertMessage(
            this.#request,
            config.timezone,
            { code, reason, sqlstate },
            this.#backup?.id,
          ),
          details: { ...this.#identity(), code, ...this.#facts(failure), error: reason },
          at: now(),
        },
        limits.alert_timeout_ms,
        clean,
      );
      alert = { ...outcome, at: now().toISOString() };
      this.#loggedBy = Infinity; // nothing else has to follow
      logged = await this.#writeSystemLog(failure, alert);
    }
    if (!logged && this.#claimed) await this.#signDetails(failure, alert);
    this.#context.log(
      `run ${this.#request.runId}: failed, ${failure.code}: ${failure.reason}; ` +
        `alert ${alert.state}${alert.reason === undefined ? "" : `: ${alert.reason}`}`,
    );
    return await signOutcome(this.#context.sign, contract.log_types.failure, {
      success: false,
      code: failure.code,
      message: failureDetails(failure.code, failure.reason),
      error: failure.reason,
      run_id: this.#request.runId,
      alert,
    });
  }

  /**
   * Writes both rows of a failure; each is useful without the other. Returns whether system_logs
   * has its row.
   */
  async #writeFailure(failure: Failure, alert: AlertRecord): Promise<boolean> {
    const change = {
      success: false,
      records_affected: 0,
      details: failureDetails(failure.code, failure.reason),
    };
    const [logged, problem] = await Promise.all([
      this.#writeSystemLog(failure, alert),
      this.#claimed ? this.#log.setBackupLog(change) : null,
    ]);
    this.#report("backup_logs", problem);
    return logged;
  }

  /** Signs the failure in backup_logs, because system_logs has no row about it. */
  async #signDetails(failure: Failure, alert: AlertRecord): Promise<void> {
    const suffix = alertedSuffix(alert.emails_sent ?? 0, alert.emails_failed ?? 0);
    const text = failureDetails(failure.code, failure.reason) + suffix;
    const details = await signDetails(this.#context.sign, this.#request.runId, text);
    this.#report("backup_logs", await this.#log.setBackupLog({ details }));
  }

  /** Writes the failure to system_logs. Returns whether that succeeded. */
  async #writeSystemLog(failure: Failure, alert: AlertRecord): Promise<boolean> {
    const message = failureDetails(failure.code, failure.reason);
    const problem = await this.#log.setSystemLog(this.#signed(contract.log_types.failure, message, {
      ...this.#identity(),
      code: failure.code,
      error: failure.reason,
      ...this.#facts(failure),
      failed_at: this.#context.now().toISOString(),
      reported_by: contract.reported_by,
      alert,
    }));
    this.#report("system_logs", problem);
    return problem === null;
  }

  /** A row of system_logs. Of several, the watchdog believes the one with the highest revision. */
  async #signed(type: string, message: string, context: Row): Promise<SystemLogRow> {
    const revision = ++this.#revision;
    const { sign } = this.#context;
    return { type, message, context: await signOutcome(sign, type, { ...context, revision }) };
  }

  /** Writes a failure of logging to the function's own log. */
  #report(table: string, problem: Problem | null): void {
    if (problem === null) return;
    this.#context.log(`run ${this.#request.runId}: ${logFailure(table, problem).reason}`);
  }

  #facts(failure: Failure): Row {
    return this.#backup === null
      ? failure.facts
      : { ...failure.facts, backup_id: this.#backup.id, total_records: this.#backup.records };
  }

  /** The fields that identify the run in every context. */
  #identity(): Row {
    const { runId, backup, schedule, dueAt, attempt } = this.#request;
    return { run_id: runId, backup, schedule, due_at: dueAt, attempt };
  }

  #alertState(): "off" | "suppressed" | "pending" {
    if (this.#context.config.alert === null) return "off";
    return this.#request.alert ? "pending" : "suppressed";
  }

  #asFailure(error: unknown): Failure {
    if (error instanceof Failure) return error;
    return new Failure("internal", reasons.internal(this.#context.clean(error)));
  }
}

function logFailure(table: string, problem: Problem): Failure {
  return problem.kind === "rejected"
    ? new Failure("log_rejected", reasons.logRejected(table, problem), problemFacts(problem))
    : new Failure("log_unreachable", reasons.logUnreachable(table, problem), problemFacts(problem));
}

function problemFacts({ status, sqlstate }: Problem): Row {
  return {
    ...(status === undefined ? {} : { http_status: status }),
    ...(sqlstate === undefined ? {} : { sqlstate }),
  };
}

/**
 * Whether an error does not tell what the database did: an error without a code comes from something
 * in front of PostgREST, and a connection may be lost between a commit and its confirmation.
 */
function leavesOpen({ kind, sqlstate }: Problem): boolean {
  return kind === "unreachable" && (sqlstate === undefined || /^(08|57P|PGRST001)/.test(sqlstate));
}

function uuidIn(text: unknown): string | undefined {
  return UUID_INSIDE.exec(String(text))?.[0].toLowerCase();
}

function isCount(value: unknown): value is number {
  return isInteger(value) && value >= 0;
}
