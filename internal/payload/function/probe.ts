/** The probe: whether a backup could run. It only reads. */

import type { Config } from "./config.ts";
import type { Limits } from "./log.ts";
import { isJwt, type Problem, type Project, type Supabase } from "./supabase.ts";

/** The result of one check. Its texts are English, because Terraform shows them. */
export type Check = { readonly ok: boolean; readonly error?: string } & Record<string, unknown>;

/** The results of a probe, by the name of the check. */
export type Checks = Record<string, Check>;

/** Checks the key and the permission to read every table that a run reads. */
export async function probe(
  config: Config,
  project: Project,
  supabase: Supabase,
  limits: Limits,
): Promise<Checks> {
  const tables = ["backup_logs", "system_logs"];
  const columns = new Map([[config.verifyTable, "backup_id"]]);
  if (config.verifyTable !== null) tables.push(config.verifyTable);
  const results = await Promise.all(tables.map(async (table): Promise<[string, Check]> => {
    const select = columns.get(table) ?? "id";
    const rows = await supabase.select(table, { select, limit: "1" }, limits.read_timeout_ms);
    return [table, rows.ok ? { ok: true } : failed(rows.problem)];
  }));
  return {
    key: { ok: true, source: project.keySource, kind: isJwt(project.key) ? "jwt" : "secret" },
    ...Object.fromEntries(results),
  };
}

function failed(problem: Problem): Check {
  return {
    ok: false,
    error: errorText(problem),
    ...(problem.status === undefined ? {} : { http_status: problem.status }),
    ...(problem.sqlstate === undefined ? {} : { sqlstate: problem.sqlstate }),
  };
}

function errorText({ cause, detail, status, sqlstate }: Problem): string {
  switch (cause) {
    case "timeout":
      return `no answer within ${detail}`;
    case "network":
      return `network error: ${detail}`;
    case "answer":
      return [`HTTP ${status}`, sqlstate, detail].filter(Boolean).join(": ");
    default:
      return `HTTP ${status} without a usable JSON answer (${detail || "no content"})`;
  }
}
