// An Edge Function for aimindset_auto_backup. The database calls it with POST
// and the token in the header X-Backup-Token. The function has to
//
//   1. refuse any other token with 401;
//   2. respond to {"action": "probe"} with {"success": true} if it could work;
//   3. claim the run by inserting a row with id = run_id into backup_logs, and
//      respond to a second delivery of the same run with 409;
//   4. respond with 202 at once and continue in the background, because a slow
//      response delays every other request of the database;
//   5. on success, insert a row auto_backup into system_logs and then update the
//      row in backup_logs; on failure, insert a row auto_backup_error whose
//      context.code says what went wrong.
//
// The watchdog does the rest: alerts, retries, and runs that were interrupted.

import { Project } from "./project.ts";

declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void };

interface Order {
  run_id: string;
  schedule: string;
  due_at: string;
  attempt: number;
  wait?: boolean;
  action?: "backup" | "probe";
}

Deno.serve(async (request) => {
  if (!await authorized(request.headers.get("X-Backup-Token"))) {
    return Response.json({ success: false, code: "unauthorized" }, { status: 401 });
  }
  const order: Order = await request.json();
  const project = new Project();
  if (order.action === "probe") {
    const readable = await project.canRead("backup_logs");
    return Response.json({ success: readable, code: readable ? undefined : "probe_failed" }, {
      status: readable ? 200 : 500,
    });
  }

  const claimed = await project.insert("backup_logs", {
    id: order.run_id,
    action_type: "auto_backup",
    success: false,
    records_affected: 0,
    details: "Backup automático iniciado",
  });
  if (claimed.status === 409) {
    return Response.json({ success: false, code: "duplicate", run_id: order.run_id }, {
      status: 409,
    });
  }
  const work = run(project, order);
  if (order.wait) {
    const result = await work;
    return Response.json(result, { status: result.success ? 200 : 500 });
  }
  EdgeRuntime.waitUntil(work);
  return Response.json({ success: null, state: "running", run_id: order.run_id }, { status: 202 });
});

async function run(project: Project, order: Order) {
  const { run_id, schedule, due_at, attempt } = order;
  const facts = { run_id, schedule, due_at, attempt };
  try {
    const backup = await project.call("backup_all_data");
    // A backup that failed is a normal result of this function.
    if (backup?.success !== true || typeof backup.backup_id !== "string") {
      throw new Error(backup?.error ?? "sem resultado");
    }
    const { backup_id, total_records } = backup;
    await project.mustInsert("system_logs", {
      type: "auto_backup",
      message: `Backup automático de ${Deno.env.get("SITE_NAME")} concluído`,
      context: { ...facts, ...backup, executed_at: new Date().toISOString() },
    });
    await project.mustUpdate("backup_logs", run_id, {
      success: true,
      records_affected: total_records,
      details: `Backup automático ID: ${backup_id} - Total: ${total_records} registros`,
    });
    return { success: true, run_id, backup_id, total_records };
  } catch (error) {
    const reason = String(error instanceof Error ? error.message : error).slice(0, 200);
    const code = "backup_failed";
    await project.mustUpdate("backup_logs", run_id, {
      details: `Backup automático falhou: ${reason}`,
    });
    await project.mustInsert("system_logs", {
      type: "auto_backup_error",
      message: `Backup automático falhou: ${reason}`,
      context: { ...facts, code, error: reason },
    });
    return { success: false, code, error: reason, run_id };
  }
}

// authorized accepts the token and, during a rotation, its successor. It compares
// digests, so its duration reveals nothing about the token.
async function authorized(presented: string | null): Promise<boolean> {
  const guess = await sha256(presented ?? "");
  let known = false;
  for (const name of ["AUTO_BACKUP_TOKEN", "AUTO_BACKUP_TOKEN_NEXT"]) {
    const token = Deno.env.get(name);
    if (token && presented !== null && guess === await sha256(token)) known = true;
  }
  return known;
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
