/** Sending the alert by e-mail, and judging whether it was delivered. */

import { type Clean, plainText } from "./clean.ts";
import { type AlertConfig, isInteger, isRecord } from "./config.ts";
import contract from "./contract.json" with { type: "json" };
import type { Answer, Row, Supabase } from "./supabase.ts";
import { alertReasons } from "./texts.ts";

/** The alert's entry in the context of a row of system_logs. */
export interface AlertRecord {
  readonly state: keyof typeof contract.alert_states;
  /** Why the alert does not count as delivered. */
  readonly reason?: string;
  readonly http_status?: number;
  readonly emails_sent?: number;
  readonly emails_failed?: number;
  /** When the outcome was known, RFC 3339. */
  readonly at?: string;
}

/** What an alert says. */
export interface Alert {
  /** Plain text in Portuguese. */
  readonly message: string;
  readonly details: Row;
  readonly at: Date;
}

/** Calls the alert function once, because a retry could send every e-mail again. */
export async function sendAlert(
  supabase: Supabase,
  config: AlertConfig,
  alert: Alert,
  timeoutMs: number,
  clean: Clean,
): Promise<AlertRecord> {
  const payload = {
    type: contract.alert_type,
    source: plainText(config.source),
    message: alert.message,
    details: plainValues(alert.details),
    timestamp: alert.at.toISOString(),
  };
  const answer = await supabase.invoke(config.function, payload, timeoutMs);
  return judge(supabase, config.function, answer, clean);
}

/**
 * The alert function responds with 200 even if there was nothing to send, no recipient, or if no
 * e-mail could be sent. Only its counts are reliable.
 */
function judge(supabase: Supabase, slug: string, answer: Answer, clean: Clean): AlertRecord {
  const status = "status" in answer ? { http_status: answer.status } : {};
  const failed = (reason: string, more: Partial<AlertRecord> = {}): AlertRecord => {
    return { state: "not_delivered", reason, ...status, ...more };
  };
  if ("status" in answer) {
    if (answer.status === 404) return failed(alertReasons.missing(slug));
    if (answer.status === 401 || answer.status === 403) {
      return failed(alertReasons.refused(slug, answer.status));
    }
  }
  if (answer.kind !== "json" || answer.status !== 200 || !isRecord(answer.body)) {
    return failed(alertReasons.failed(slug, supabase.problem(answer)));
  }
  const { emails_sent, emails_failed, message } = answer.body;
  if (!isInteger(emails_sent) || !isInteger(emails_failed)) {
    return failed(alertReasons.nothingSent(slug, clean(message ?? "")));
  }
  const counts = { emails_sent, emails_failed };
  if (emails_failed > 0) return failed(alertReasons.partly(emails_failed, emails_sent), counts);
  if (emails_sent < 1) return failed(alertReasons.nothingSent(slug, clean(message ?? "")), counts);
  return { state: "delivered", ...status, ...counts };
}

/** The alert function prints the details as JSON inside HTML. */
function plainValues(details: Row): Row {
  return Object.fromEntries(
    Object.entries(details).map(([name, value]) => [
      name,
      typeof value === "string" ? plainText(value) : value,
    ]),
  );
}
