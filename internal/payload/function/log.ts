/**
 * The two log rows of a run: one in backup_logs, whose id is the run's ID, and one in system_logs.
 * A run has at most one of each, even if the responses to writes are lost.
 */

import { isInteger } from "./config.ts";
import contract from "./contract.json" with { type: "json" };
import type { Outcome, Problem, Row, Supabase } from "./supabase.ts";

/** Waits for a number of milliseconds. */
export type Sleep = (ms: number) => Promise<void>;

/** Timeouts, numbers of attempts and delays. The values in use are in contract.json. */
export type Limits = typeof contract.limits;

/** The limits and the clock of retries. */
export interface Pacing {
  readonly limits: Limits;
  readonly now: () => Date;
  readonly sleep: Sleep;
}

/** The outcome of claiming a run. */
export type Claim = "claimed" | "duplicate" | Problem;

/** The log rows of one run. Concurrent writes wait for each other. */
export class RunLog {
  readonly #supabase: Supabase;
  readonly #runId: string;
  readonly #limits: Limits;
  readonly #now: () => Date;
  readonly #sleep: Sleep;
  /** ID of the run's row in system_logs, or null while it is not known. */
  #logId: string | number | null = null;
  /** Whether there may be a row in system_logs with an unknown ID. */
  #logUncertain = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(supabase: Supabase, runId: string, { limits, now, sleep }: Pacing) {
    this.#supabase = supabase;
    this.#runId = runId;
    this.#limits = limits;
    this.#now = now;
    this.#sleep = sleep;
  }

  /**
   * Claims the run by inserting its row into backup_logs. Because of the primary key, exactly one
   * delivery of a request succeeds.
   *
   * @param details text of the row, unique for every delivery: if the response to the insert is
   * lost, it shows whether an existing row is this delivery's own.
   */
  async claim(details: string): Promise<Claim> {
    const row = {
      id: this.#runId,
      action_type: contract.action_type,
      records_affected: 0,
      details,
      success: false,
    };
    let uncertain = false;
    const claim = await this.#retry<Claim>(async () => {
      if (uncertain) {
        const owner = await this.#owner(details);
        if (!owner.ok) return owner;
        if (owner.value !== "nobody") return { ok: true, value: owner.value };
      }
      const inserted = await this.#supabase.insert(
        "backup_logs",
        row,
        this.#limits.claim_timeout_ms,
      );
      if (inserted.ok) return { ok: true, value: "claimed" };
      if (inserted.problem.status === 409 && inserted.problem.sqlstate === "23505") {
        if (!uncertain) return { ok: true, value: "duplicate" };
        const owner = await this.#owner(details);
        if (!owner.ok) return owner;
        return { ok: true, value: owner.value === "claimed" ? "claimed" : "duplicate" };
      }
      uncertain ||= inserted.problem.kind === "unreachable";
      return inserted;
    });
    return claim.ok ? claim.value : claim.problem;
  }

  /** Changes the run's row in backup_logs. Returns null on success. */
  setBackupLog(change: Row): Promise<Problem | null> {
    return this.#inTurn(() =>
      this.#retry(() =>
        this.#supabase.update("backup_logs", this.#runId, change, this.#limits.write_timeout_ms)
      )
    );
  }

  /**
   * Writes the run's row in system_logs, or changes it, because a run that was recorded as failed
   * may still succeed. Returns null on success.
   */
  setSystemLog(row: { type: string; message: string; context: Row }): Promise<Problem | null> {
    return this.#inTurn(() =>
      this.#retry(async () => {
        if (this.#logId === null && this.#logUncertain) {
          const found = await this.#findSystemLog();
          if (!found.ok) return found;
        }
        const timeout = this.#limits.write_timeout_ms;
        if (this.#logId !== null) {
          return await this.#supabase.update("system_logs", this.#logId, row, timeout);
        }
        const inserted = await this.#supabase.insertReturning("system_logs", row, "id", timeout);
        if (inserted.ok) this.#keepLogId(inserted.value);
        // There may be a row whose ID was not returned.
        this.#logUncertain = inserted.ok || inserted.problem.kind === "unreachable";
        return inserted;
      })
    );
  }

  /** When the database created the run's row, in the database's notation. */
  async claimedAt(): Promise<string | null> {
    const rows = await this.#supabase.select(
      "backup_logs",
      { select: "created_at", id: `eq.${this.#runId}` },
      this.#limits.read_timeout_ms,
    );
    const at = rows.ok ? rows.value[0]?.created_at : null;
    return typeof at === "string" ? at : null;
  }

  /** Whether a row with the run's ID exists, and whose it is. */
  async #owner(details: string): Promise<Outcome<"claimed" | "duplicate" | "nobody">> {
    const rows = await this.#supabase.select(
      "backup_logs",
      { select: "details", id: `eq.${this.#runId}` },
      this.#limits.read_timeout_ms,
    );
    if (!rows.ok) return rows;
    const [row] = rows.value;
    if (row === undefined) return { ok: true, value: "nobody" };
    return { ok: true, value: row.details === details ? "claimed" : "duplicate" };
  }

  /** Looks for a row that an insert may have created although its response was lost. */
  async #findSystemLog(): Promise<Outcome<null>> {
    const rows = await this.#supabase.select(
      "system_logs",
      { "select": "id,type", "context->>run_id": `eq.${this.#runId}`, "order": "id.asc" },
      this.#limits.read_timeout_ms,
    );
    if (!rows.ok) return rows;
    const types: unknown[] = Object.values(contract.log_types);
    const own = rows.value.find((row) => types.includes(row.type));
    if (own !== undefined) this.#keepLogId(own);
    return { ok: true, value: null };
  }

  #keepLogId(row: Row): void {
    if (typeof row.id === "string" || isInteger(row.id)) this.#logId = row.id;
  }

  /**
   * Retries a call without a usable response, a few times and not for long: the platform stops a run
   * after 150 seconds, and the alert must still be sent.
   */
  async #retry<T>(call: () => Promise<Outcome<T>>): Promise<Outcome<T>> {
    const { write_attempts, write_retry_delay_ms, write_budget_ms } = this.#limits;
    const giveUp = this.#now().getTime() + write_budget_ms;
    let pause = write_retry_delay_ms;
    for (let attempt = 1;; attempt++) {
      const outcome = await call();
      if (outcome.ok || outcome.problem.kind === "rejected") return outcome;
      if (attempt >= write_attempts || this.#now().getTime() + pause > giveUp) return outcome;
      await this.#sleep(pause);
      pause *= 2;
    }
  }

  #inTurn<T>(write: () => Promise<Outcome<T>>): Promise<Problem | null> {
    const turn = this.#last.then(write).then((outcome) => outcome.ok ? null : outcome.problem);
    this.#last = turn.catch(() => null);
    return turn;
  }
}
