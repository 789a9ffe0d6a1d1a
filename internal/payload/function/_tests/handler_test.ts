import assert from "node:assert/strict";
import contract from "../contract.json" with { type: "json" };
import {
  BACKUP_ID,
  harness,
  html,
  json,
  NEXT_TOKEN,
  outcomeSignature,
  pgError,
  REQUEST,
  RUN_ID,
  SECRET_KEY,
  SERVICE_JWT,
  signed,
  silence,
  TOKEN,
} from "./project.ts";

// The success path, as the dispatcher sees it and as the panel sees it.
Deno.test("success: 202 at once, then one finished row in each log", async () => {
  const { project, post, idle, log } = harness();
  let finish = () => {};
  const held = new Promise<void>((resolve) => finish = resolve);
  project.rpc = async () => {
    await held;
    return json(200, project.makeBackup());
  };

  const response = await post();
  assert.equal(response.status, 202);
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.equal(response.headers.get("x-backup-function"), contract.function_version);
  assert.deepEqual(await response.json(), { success: null, state: "running", run_id: RUN_ID });
  const [started] = project.runs;
  assert.match(
    String(started?.details),
    /^Backup automático iniciado em 01\/03\/2025 às 03:00 \(America\/Sao_Paulo\), entrega [0-9a-f]{8}$/,
  );
  assert.deepEqual([started?.success, started?.records_affected], [false, 0]);
  assert.equal(project.events.length, 0);

  finish();
  await idle();
  assert.equal(project.runs.length, 1);
  const { created_at: _, ...row } = project.runs[0] ?? {};
  assert.deepEqual(row, {
    id: RUN_ID,
    action_type: "auto_backup",
    records_affected: 28,
    details: `Backup automático ID: ${BACKUP_ID} - Total: 28 registros`,
    success: true,
  });
  assert.equal(project.events.length, 1);
  const [event] = project.events;
  assert.deepEqual([event?.type, event?.message], [
    "auto_backup",
    "Backup automático concluído com sucesso: 28 registros salvos",
  ]);
  const { signature, ...signed } = event?.context as Record<string, unknown>;
  assert.equal(signature, outcomeSignature("auto_backup", signed));
  const { executed_at, duration_ms, ...context } = signed;
  assert.match(String(executed_at), /^2025-03-01T06:00:00\.\d{3}Z$/);
  assert(Number(duration_ms) >= 0);
  assert.deepEqual(context, {
    ...REQUEST,
    backup_id: BACKUP_ID,
    revision: 1,
    total_records: 28,
    articles_count: 28,
    comments_count: 0,
    feedbacks_count: 0,
    backend_logs_count: 0,
    app_logs_count: 0,
    system_logs_count: 0,
  });
  assert.deepEqual(project.alerts, []);
  assert.deepEqual(log, [`run ${RUN_ID}: succeeded, 28 records`]);
});

// A caller that waits gets the application's own form of a success.
Deno.test("success: the result in the answer", async () => {
  const { post, project } = harness({ config: { verify_table: "backup_articles" } });
  const response = await post({ wait: true });
  assert.equal(response.status, 200);
  const { signature, ...body } = await response.json();
  assert.equal(signature, outcomeSignature("auto_backup", body));
  assert.deepEqual(body, {
    success: true,
    message: `Backup automático ID: ${BACKUP_ID} - Total: 28 registros`,
    run_id: RUN_ID,
    backup_id: BACKUP_ID,
    total_records: 28,
  });
  assert.equal(project.runs[0]?.success, true);
});

// system_logs is written first and backup_logs last, so that a finished row means a finished run.
Deno.test("success: the row of backup_logs is finished last", async () => {
  const { post, project } = harness();
  await post({ wait: true });
  assert.deepEqual(project.calls.map(({ method, path }) => `${method} ${path.slice(9)}`), [
    "POST backup_logs",
    "POST rpc/backup_all_data",
    "POST system_logs",
    "PATCH backup_logs",
  ]);
});

// A total that is missing is summed up; one record is written in the singular.
Deno.test("success: numbers of records", async () => {
  const { post, project } = harness();
  const backup = { success: true, backup_id: BACKUP_ID, articles_count: 1, comments_count: -1 };
  project.rpc = () => json(200, backup);
  assert.equal((await (await post({ wait: true })).json()).total_records, 1);
  assert.match(String(project.events[0]?.message), /: 1 registro salvo$/);
});

// pg_net has been seen to deliver one request six times.
Deno.test("duplicates: six deliveries at once make one run", async () => {
  const { project, post, idle } = harness();
  const answers = await Promise.all(Array.from({ length: 6 }, () => post()));
  await idle();
  const statuses = answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [202, 409, 409, 409, 409, 409]);
  const refused = answers.find(({ status }) => status === 409);
  const body = await refused?.json();
  assert.deepEqual([body.success, body.code, body.run_id], [false, "duplicate", RUN_ID]);
  assert.equal(project.calls.filter(({ path }) => path.includes("/rpc/")).length, 1);
  assert.deepEqual([project.runs.length, project.events.length], [1, 1]);
  assert.equal(project.runs[0]?.success, true);
});

// A delivery that comes after the run has ended changes nothing either.
Deno.test("duplicates: a late delivery", async () => {
  const { project, post } = harness();
  await post({ wait: true });
  const before = JSON.stringify([project.backupLogs, project.systemLogs]);
  const calls = project.calls.length;
  assert.equal((await post({ wait: true })).status, 409);
  assert.equal(project.calls.length, calls + 1);
  assert.equal(JSON.stringify([project.backupLogs, project.systemLogs]), before);
});

// Everything that is refused is refused before the project is touched.
Deno.test("refusals: method, token, body, backup", async () => {
  const { handler, post, project } = harness();
  const codes = async (answer: Promise<Response>) => {
    const response = await answer;
    const body = await response.json();
    assert.equal(body.success, false);
    assert.equal(typeof body.message, "string");
    return [response.status, body.code];
  };
  for (const method of ["GET", "PUT", "OPTIONS", "DELETE"]) {
    const response = await handler.handle(new Request("http://x/", { method }));
    assert.equal(response.headers.get("allow"), "POST");
    assert.deepEqual([response.status, (await response.json()).code], [405, "method_not_allowed"]);
  }
  const sign = (text: string) => ({ "X-Backup-Signature": text });
  assert.deepEqual(await codes(post({}, sign("wrong"))), [401, "unauthorized"]);
  assert.deepEqual(await codes(post({ bad: 1 }, sign(""))), [401, "unauthorized"]);
  assert.deepEqual(await codes(post({}, {}, NEXT_TOKEN)), [401, "unauthorized"]);
  // The token itself opens nothing, in whatever header; and a project key is public knowledge as far
  // as the backup is concerned.
  for (const secret of [TOKEN, SECRET_KEY]) {
    const headers = { "X-Backup-Token": secret, "Authorization": `Bearer ${SERVICE_JWT}` };
    assert.deepEqual(await codes(post({}, { ...headers, ...sign(secret) })), [401, "unauthorized"]);
    assert.deepEqual(await codes(post({}, { ...headers, ...sign("") })), [401, "unauthorized"]);
  }
  assert.deepEqual(await codes(post({ attempt: 0 })), [400, "bad_request"]);
  assert.deepEqual(await codes(post({ backup: "other" })), [400, "wrong_backup"]);
  assert.deepEqual(await codes(post({ backup: "other", action: "probe" })), [400, "wrong_backup"]);
  assert.deepEqual(await codes(post({ run_id: "x".repeat(17_000) })), [413, "request_too_large"]);
  assert.deepEqual(project.calls, []);
});

// Who sees a request in pg_net's queue cannot change it, and cannot use it for long.
Deno.test("refusals: a captured request", async () => {
  const { handler, post, project, idle } = harness();
  const captured = signed({}, project.now());
  const send = (init: RequestInit) => handler.handle(new Request("http://x/", init));
  const code = async (response: Response) => [response.status, (await response.json()).code];

  const body = String(captured.body);
  for (const changed of [body.replace("daily", "hourly"), body + " ", body.replace(",", " ,")]) {
    assert.deepEqual(await code(await send({ ...captured, body: changed })), [401, "unauthorized"]);
  }
  assert.deepEqual(project.calls, []);

  // Its run can be started once, whoever delivers it.
  assert.equal((await send(captured)).status, 202);
  await idle();
  assert.deepEqual(await code(await send(captured)), [409, "duplicate"]);

  await project.sleep(15 * 60_000);
  const before = project.calls.length;
  const answer = await send(captured);
  const { code: late, message } = await answer.json();
  assert.deepEqual([answer.status, late], [401, "request_expired"]);
  assert.match(
    message,
    /^it was signed 90\d s ago by the function's clock, and the limit is 15 minutes$/,
  );
  assert.equal(project.calls.length, before);
  assert.equal((await post({ run_id: crypto.randomUUID() })).status, 202);
  await idle();
});

// The limit holds on both sides to the millisecond, for probes too, and no time is not a time.
Deno.test("refusals: the age of a request", async () => {
  const { post, project } = harness();
  const limit = contract.limits.request_age_ms;
  assert.equal(limit, 15 * 60_000);
  for (const [ms, ok] of [[limit, true], [limit + 1, false]] as const) {
    for (const sign of [1, -1]) {
      const sent_at = new Date(project.now().getTime() + sign * ms).toISOString();
      const answer = await post({ action: "probe", sent_at });
      const { code, message } = await answer.json();
      assert.equal(code, ok ? undefined : "request_expired", `${sign * ms}`);
      if (!ok) assert.match(message, sign > 0 ? / 900 s in the future by / : / 900 s ago by /);
    }
  }
  for (const action of ["probe", "backup"]) {
    const answer = await post({ action, sent_at: undefined });
    assert.deepEqual([answer.status, (await answer.json()).message], [400, "sent_at is missing"]);
  }
});

// A body that never ends is not waited for: anybody can send one, and each costs memory.
Deno.test("refusals: a body that does not arrive", async () => {
  const { project, handler } = harness();
  let cancelled = false;
  let late = () => {};
  const deps = {
    timer: (ms: number, callback: () => void) => {
      assert.equal(ms, contract.limits.request_timeout_ms);
      late = callback;
      return () => {};
    },
  };
  const slow = harness({ deps });
  const stream = new ReadableStream<Uint8Array>({
    pull: () => late(),
    cancel: () => {
      cancelled = true;
    },
  }, { highWaterMark: 0 });
  const headers = { "X-Backup-Signature": "0".repeat(64) };
  const answer = await slow.handler.handle(
    new Request("http://x/", { method: "POST", headers, body: stream }),
  );
  const { code, message } = await answer.json();
  assert.deepEqual([answer.status, code, cancelled], [400, "bad_request", true]);
  assert.equal(message, "the body did not arrive within 10 s");
  assert.deepEqual(project.calls, []);

  // Without a signature it is not even begun.
  const unread = new ReadableStream<Uint8Array>({
    pull: () => assert.fail("the body was read"),
  }, { highWaterMark: 0 });
  const refused = await handler.handle(new Request("http://x/", { method: "POST", body: unread }));
  assert.equal(refused.status, 401);
});

// A function without its secret refuses everybody, also those who send no signature.
Deno.test("refusals: no token secret", async () => {
  for (const AUTO_BACKUP_TOKEN of [undefined, ""]) {
    const { post } = harness({ env: { AUTO_BACKUP_TOKEN } });
    const response = await post({}, { "X-Backup-Signature": "" });
    assert.deepEqual([response.status, (await response.json()).code], [
      503,
      "token_not_configured",
    ]);
  }
});

// A secret that was stored with a newline is not what the dispatcher sends.
Deno.test("refusals: a secret with a trailing newline matches nothing", async () => {
  const { post } = harness({ env: { AUTO_BACKUP_TOKEN: TOKEN + "\n" } });
  assert.equal((await post()).status, 401);
});

// From the first to the last step of a rotation both sides accept every request.
Deno.test("rotation: the old and the new token are accepted", async () => {
  const { post, project } = harness({ env: { AUTO_BACKUP_TOKEN_NEXT: NEXT_TOKEN } });
  assert.equal((await post({ wait: true })).status, 200);
  const next = { run_id: crypto.randomUUID(), wait: true };
  const answer = await post(next, {}, NEXT_TOKEN);
  const body = await answer.json();
  // The outcome has the signature of the token that signed the request, which the database keeps.
  assert.deepEqual([answer.status, body.signature], [
    200,
    outcomeSignature("auto_backup", body, NEXT_TOKEN),
  ]);
  assert.equal(project.runs.length, 2);
  assert.equal((await post({}, {}, TOKEN + NEXT_TOKEN)).status, 401);
});

// What the function writes last has the highest revision, and that is also what remains in the row.
Deno.test("revisions: count what the function says of one run", async () => {
  const { project, post } = harness();
  const seen: unknown[] = [];
  project.rpc = () => json(200, null);
  project.fault(/ .*system_logs/, (call, next) => {
    const { type, context } = JSON.parse(call.body);
    seen.push([type, context.revision, context.alert.state]);
    return next();
  }, 9);
  await post({ wait: true });
  assert.deepEqual(seen, [
    ["auto_backup_error", 1, "pending"],
    ["auto_backup_error", 2, "delivered"],
  ]);
});

// A broken configuration lets the function boot and say so, whatever the request.
Deno.test("configuration: every request is answered with bad_config", async () => {
  const { handler, post, log } = harness({ config: { rpc: "" } });
  for (const answer of [post(), handler.handle(new Request("http://x/"))]) {
    const response = await answer;
    const body = await response.json();
    assert.deepEqual([response.status, body.success, body.code], [500, false, "bad_config"]);
    assert.equal(body.message, "rpc is not the name of an SQL function");
  }
  assert.deepEqual(log, ["bad configuration: rpc is not the name of an SQL function"]);
});

// Without the project's address or key there is nothing that could be written or alerted.
Deno.test("environment: no key", async () => {
  const env = { SUPABASE_SECRET_KEYS: undefined, SUPABASE_SERVICE_ROLE_KEY: undefined };
  const { post, log } = harness({ env });
  const response = await post();
  const body = await response.json();
  assert.deepEqual([response.status, body.code, body.run_id], [500, "internal", RUN_ID]);
  assert.match(body.message, /^neither SUPABASE_SECRET_KEYS nor /);
  // Terraform reads the message; the panel and e-mails are told the error.
  assert.equal(body.error, `erro interno da função: ${body.message}`);
  assert.equal(log.length, 1);

  const probe = await post({ action: "probe" });
  const { code, checks } = await probe.json();
  assert.deepEqual([probe.status, code, checks.key.ok], [500, "probe_failed", false]);
  assert.deepEqual(checks.token, { ok: true, secret: "AUTO_BACKUP_TOKEN" });
});

// An error that nobody foresaw is answered and logged, without what it might give away.
Deno.test("internal: an unforeseen error", async () => {
  const env = (name: string) => {
    if (name === "SUPABASE_URL") throw new Error(`no access to ${name} with ${SERVICE_JWT}\nstack`);
    return name === "AUTO_BACKUP_TOKEN" ? TOKEN : undefined;
  };
  const { post, log } = harness({ deps: { env } });
  const response = await post();
  const body = await response.json();
  assert.deepEqual([response.status, body.code], [500, "internal"]);
  assert.equal(body.message, "no access to SUPABASE_URL with [removido]");
  assert.equal(body.error, `erro interno da função: ${body.message}`);
  assert.deepEqual(log, [`internal error: ${body.message}`]);
});

// Work behind the answer that breaks must not take the instance, with its other runs, down.
Deno.test("internal: broken work behind the answer is logged, not thrown", async () => {
  const log: string[] = [];
  const { post, idle } = harness({
    deps: {
      log: (line) => {
        if (line.includes("succeeded") || line.includes("failed")) throw new Error("log is full");
        log.push(line);
      },
    },
  });
  assert.equal((await post()).status, 202);
  await idle();
  assert.deepEqual(log, [`run ${RUN_ID}: log is full`]);
});

// Who reads the logs in other ways than the panel finds nothing secret either.
Deno.test("secrets: none in rows, answers, alerts and log", async () => {
  const { project, post, log } = harness();
  const leak = `${TOKEN} ${SECRET_KEY} Bearer ${SERVICE_JWT} postgres://u:pw@h/d?x=1`;
  project.rpc = () => json(200, { success: false, error: leak });
  const answer = await (await post({ wait: true })).text();
  const everything = JSON.stringify([answer, project.backupLogs, project.systemLogs, log]) +
    JSON.stringify(project.alerts);
  for (const secret of [TOKEN, SECRET_KEY, SERVICE_JWT, "u:pw@", "x=1"]) {
    assert(!everything.includes(secret), secret);
  }
  assert(everything.includes("[removido]"));
});

// The probe reads what a run would read, writes nothing and runs nothing.
Deno.test("probe: proves token, key and tables", async () => {
  const { project, post } = harness({ config: { verify_table: "backup_articles" } });
  const response = await post({ action: "probe" });
  assert.equal(response.status, 200);
  assert.deepEqual(await response.json(), {
    success: true,
    run_id: RUN_ID,
    // Any role may write pg_net's responses, so an apply believes no other.
    signature: outcomeSignature("probe", { run_id: RUN_ID }),
    checks: {
      token: { ok: true, secret: "AUTO_BACKUP_TOKEN" },
      key: { ok: true, source: "SUPABASE_SECRET_KEYS", kind: "secret" },
      backup_logs: { ok: true },
      system_logs: { ok: true },
      backup_articles: { ok: true },
    },
  });
  assert(project.calls.every(({ method }) => method === "GET"));
  assert.deepEqual([project.backupLogs, project.systemLogs], [[], []]);
});

// Each check fails by itself, in words that say what is wrong.
Deno.test("probe: says which check failed", async () => {
  const { project, post } = harness({ env: { SUPABASE_SECRET_KEYS: undefined } });
  project.fault(
    /backup_logs/,
    () => pgError(403, "42501", "permission denied for table backup_logs"),
  );
  project.fault(/system_logs/, () => html(502));
  const response = await post({ action: "probe" });
  const body = await response.json();
  assert.deepEqual([response.status, body.success, body.code], [500, false, "probe_failed"]);
  assert.equal(body.message, "failed: backup_logs, system_logs");
  assert.deepEqual(body.checks.key, { ok: true, source: "SUPABASE_SERVICE_ROLE_KEY", kind: "jwt" });
  assert.deepEqual(body.checks.backup_logs, {
    ok: false,
    error: "HTTP 403: 42501: permission denied for table backup_logs",
    http_status: 403,
    sqlstate: "42501",
  });
  assert.equal(
    body.checks.system_logs.error,
    "HTTP 502 without a usable JSON answer (text/html)",
  );

  project.fault(/backup_logs/, silence);
  project.fault(/system_logs/, () => {
    throw new Error("connection refused");
  });
  const { checks } = await (await post({ action: "probe" })).json();
  assert.equal(checks.backup_logs.error, "no answer within 10 s");
  assert.equal(checks.system_logs.error, "network error: connection refused");

  project.fault(/backup_logs/, () => new Response(null, { status: 200 }));
  const empty = await (await post({ action: "probe" })).json();
  assert.equal(
    empty.checks.backup_logs.error,
    "HTTP 200 without a usable JSON answer (no content)",
  );
});
