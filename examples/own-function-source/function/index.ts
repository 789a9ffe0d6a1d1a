// An Edge Function for aimindset_auto_backup. The database calls it with POST,
// and signs the body with the token that the function has in its secret
// AUTO_BACKUP_TOKEN. The function has to
//
//   1. refuse a wrong signature, and a request that is older than 15 minutes,
//      with 401; signature.ts does that;
//   2. respond to {"action": "probe"} with a signed {"success": true} if it could
//      work;
//   3. claim the run by inserting a row with id = run_id into backup_logs, and
//      respond to a second delivery of the same run with 409;
//   4. respond with 202 at once and continue in the background, because a slow
//      response delays every other request of the database;
//   5. on success, insert a row auto_backup into system_logs and then update the
//      row in backup_logs; on failure, insert a row auto_backup_error whose
//      context.code says what went wrong. Both rows have to be signed.
//
// The watchdog does the rest: alerts, retries, and runs that were interrupted.

import { Project } from "./project.ts";
import { type Verified, verify } from "./signature.ts";

declare const EdgeRuntime: { waitUntil(work: Promise<unknown>): void };

Deno.serve(async (request) => {
  // During a rotation there is a second token.
  const tokens = ["AUTO_BACKUP_TOKEN", "AUTO_BACKUP_TOKEN_NEXT"].map((name) => Deno.env.get(name));
  const verified = await verify(request, tokens);
  if (verified instanceof Response) return verified;
  const { order, sign } = verified;
  const project = new Project();
  if (order.action === "probe") {
    const readable = await project.canRead("backup_logs");
    if (!readable) {
      return Response.json({ success: false, code: "probe_failed" }, { status: 500 });
    }
    return Response.json(await sign({ action: "probe", run_id: order.run_id, success: true }));
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
  const work = run(project, verified);
  if (order.wait) {
    const result = await work;
    return Response.json(result, { status: result.success ? 200 : 500 });
  }
  EdgeRuntime.waitUntil(work);
  return Response.json({ success: null, state: "running", run_id: order.run_id }, { status: 202 });
});

async function run(project: Project, { order, sign }: Verified) {
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
      context: await sign({ ...facts, ...backup, executed_at: new Date().toISOString() }),
    });
    await project.mustUpdate("backup_logs", run_id, {
      success: true,
      records_affected: total_records,
      details: `Backup automático ID: ${backup_id} - Total: ${total_records} registros`,
    });
    return await sign({ success: true, run_id, backup_id, total_records });
  } catch (error) {
    const reason = String(error instanceof Error ? error.message : error).slice(0, 200);
    const code = "backup_failed";
    await project.mustUpdate("backup_logs", run_id, {
      details: `Backup automático falhou: ${reason}`,
    });
    await project.mustInsert("system_logs", {
      type: "auto_backup_error",
      message: `Backup automático falhou: ${reason}`,
      context: await sign({ ...facts, success: false, code, error: reason }),
    });
    return await sign({ success: false, code, error: reason, run_id });
  }
}
