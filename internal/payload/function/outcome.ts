/**
 * Signatures of outcomes. Many roles can write the logs and pg_net's responses, so the watchdog and an
 * apply count only what is signed with the token that signed the request.
 */

import { isRecord } from "./config.ts";
import type { Row } from "./supabase.ts";
import type { Sign } from "./token.ts";

/**
 * What is signed of an outcome: everything that the watchdog reads of it. The error comes last,
 * because it alone is free text. The SQL function auto_backup.outcome has the same list.
 *
 * @param type the type of the row in system_logs; for the answer to a probe, `probe`
 * @param document the row's context, or the body of a response
 */
export function outcomeText(type: string, document: Row): string {
  const alert = isRecord(document.alert) ? document.alert : {};
  return [
    "backup-outcome-v1",
    type,
    document.run_id,
    document.revision,
    document.code,
    document.sqlstate,
    document.backup_id,
    document.total_records,
    alert.state,
    alert.emails_sent,
    alert.emails_failed,
    document.error,
  ].map((value) => value ?? "").join("\n");
}

/** Adds the signature of an outcome to it. */
export async function signOutcome<T extends Row>(
  sign: Sign,
  type: string,
  document: T,
): Promise<T & { readonly signature: string }> {
  return { ...document, signature: await sign(outcomeText(type, document)) };
}

/**
 * Adds a short signature to the text of a row in backup_logs. People read this text, so it is done
 * only where system_logs could not be written.
 */
export async function signDetails(sign: Sign, runId: string, details: string): Promise<string> {
  const signature = await sign(["backup-details-v1", runId, details].join("\n"));
  return `${details} [${signature.slice(0, 32)}]`;
}
