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

/** The limits, the clock and the end of retries. */
export interface Pacing {
  readonly limits: Limits;
  readonly now: () => Date;
  readonly sleep: Sleep;
  /** When every write ends at the latest, in milliseconds since 1970. */
  readonly latest?: () => number;
}

/** The time left until a moment in milliseconds since 1970, at most `limit` and at least 1 ms. */
export function within(limit: number, until: number, now: Date): number {
  return Math.max(1, Math.min(limit, until - now.getTime()));
}

/** Shortens a timeout to what is left of the time of all attempts. */
type Shorten = (timeout: number) => number;

/** What a run writes to system_logs. */
export interface SystemLogRow extends Row {
  readonly type: string;
  readonly message: string;
  readonly context: Row;
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
  readonly #latest: () => number;
  /** ID of the run's row in system_logs, or null while it is not known. */
  #logId: string | number | null = null;
  /** Whether there may be a row in system_logs with an unknown ID. */
  #logUncertain = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(supabase: Supabase, runId: string, pacing: Pacing) {
    const { limits, now, sleep, latest = () => Infinity } = pacing;
    this.#supabase = supabase;
    this.#runId = runId;
    this.#limits = limits;
    this.#now = now;
    this.#sleep = sleep;
    this.#latest = latest;
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
    const claim = await this.#retry<Claim>(this.#limits.claim_budget_ms, async (shorten) => {
      if (uncertain) {
        const owner = await this.#owner(details, shorten);
        if (!owner.ok) return owner;
        if (owner.value !== "nobody") return { ok: true, value: owner.value };
      }
      const inserted = await this.#supabase.insert(
        "backup_logs",
        row,
        shorten(this.#limits.claim_timeout_ms),
      );
      if (inserted.ok) return { ok: true, value: "claimed" };
      if (inserted.problem.status === 409 && inserted.problem.sqlstate === "23505") {
        if (!uncertain) return { ok: true, value: "duplicate" };
        const owner = await this.#owner(details, shorten);
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
      this.#retry(this.#limits.write_budget_ms, (shorten) => {
        const timeout = shorten(this.#limits.write_timeout_ms);
        return this.#supabase.update("backup_logs", this.#runId, change, timeout);
      })
    );
  }

  /**
   * Writes the run's row in system_logs, or changes it, because a run that was recorded as failed
   * may still succeed. Returns null on success. Rows are written in the order of the calls, not in
   * that in which they are ready.
   */
  setSystemLog(pending: Promise<SystemLogRow>): Promise<Problem | null> {
    return this.#inTurn(async () => {
      const row = await pending;
      return await this.#retry(this.#limits.write_budget_ms, async (shorten) => {
        if (this.#logId === null && this.#logUncertain) {
          const found = await this.#findSystemLog(shorten);
          if (!found.ok) return found;
        }
        const timeout = shorten(this.#limits.write_timeout_ms);
        if (this.#logId !== null) {
          return await this.#supabase.update("system_logs", this.#logId, row, timeout);
        }
        const inserted = await this.#supabase.insertReturning("system_logs", row, "id", timeout);
        if (inserted.ok) this.#keepLogId(inserted.value);
        // There may be a row whose ID was not returned.
        this.#logUncertain = inserted.ok || inserted.problem.kind === "unreachable";
        return inserted;
      });
    });
  }

  /** When the database created the run's row, in the database's notation. */
  async claimedAt(timeoutMs: number): Promise<string | null> {
    const rows = await this.#supabase.select(
      "backup_logs",
      { select: "created_at", id: `eq.${this.#runId}` },
      timeoutMs,
    );
    const at = rows.ok ? rows.value[0]?.created_at : null;
    return typeof at === "string" ? at : null;
  }

  /** Whether a row with the run's ID exists, and whose it is. */
  async #owner(
    details: string,
    shorten: Shorten,
  ): Promise<Outcome<"claimed" | "duplicate" | "nobody">> {
    const rows = await this.#supabase.select(
      "backup_logs",
      { select: "details", id: `eq.${this.#runId}` },
      shorten(this.#limits.read_timeout_ms),
    );
    if (!rows.ok) return rows;
    const [row] = rows.value;
    if (row === undefined) return { ok: true, value: "nobody" };
    return { ok: true, value: row.details === details ? "claimed" : "duplicate" };
  }

  /** Looks for a row that an insert may have created although its response was lost. */
  async #findSystemLog(shorten: Shorten): Promise<Outcome<null>> {
    const rows = await this.#supabase.select(
      "system_logs",
      { "select": "id,type", "context->>run_id": `eq.${this.#runId}`, "order": "id.asc" },
      shorten(this.#limits.read_timeout_ms),
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
   * Retries a call without a usable response, a few times and within a budget that includes the
   * time of the calls: the platform stops a run after 150 seconds, and the alert must still be sent.
   */
  async #retry<T>(
    budget: number,
    call: (shorten: Shorten) => Promise<Outcome<T>>,
  ): Promise<Outcome<T>> {
    const { write_attempts, write_retry_delay_ms } = this.#limits;
    const giveUp = Math.min(this.#now().getTime() + budget, this.#latest());
    const shorten: Shorten = (limit) => within(limit, giveUp, this.#now());
    let pause = write_retry_delay_ms;
    for (let attempt = 1;; attempt++) {
      const outcome = await call(shorten);
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
