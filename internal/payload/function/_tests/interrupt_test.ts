import assert from "node:assert/strict";
import codes from "../codes.json" with { type: "json" };
import { harness, html, json, REQUEST, RUN_ID } from "./project.ts";

/** A point at which a run is held until the test lets it go on. */
function gate() {
  let open = () => {};
  let arrive = () => {};
  const opened = new Promise<void>((resolve) => open = resolve);
  const reached = new Promise<void>((resolve) => arrive = resolve);
  return { open, reached, pass: () => (arrive(), opened) };
}

// The usual end: the platform stops the function while the database is at work.
Deno.test("interrupt: during the backup, a trace in both logs", async () => {
  for (
    const [reason, words] of [
      ["wall_clock", "limite de tempo de execução"],
      ["cpu", "limite de CPU"],
      ["memory", "limite de memória"],
      ["early_drop", "instância descartada"],
      ["termination", "instância encerrada"],
      ["something new", "something new"],
    ] as const
  ) {
    const { project, post, handler, idle } = harness();
    const rpc = gate();
    project.rpc = async () => {
      await rpc.pass();
      return json(200, null);
    };
    assert.equal((await post()).status, 202);
    await rpc.reached;
    await handler.interrupt(reason);

    const details = `Backup automático interrompido: ${codes.interrupted.reason} (${words})`;
    assert.deepEqual(project.runs.map((row) => [row.details, row.success]), [[details, false]]);
    assert.deepEqual(project.events.map((row) => [row.type, row.message]), [
      ["auto_backup_error", details],
    ]);
    const context = project.events[0]?.context as Record<string, unknown>;
    assert.deepEqual([context.run_id, context.code], [RUN_ID, "interrupted"]);
    // The watchdog will alert: an alert that is cut off half-way might arrive or not.
    assert.deepEqual(context.alert, {
      state: "not_delivered",
      reason: "a função foi encerrada antes de enviar o alerta",
    });
    assert.deepEqual(project.alerts, []);
    rpc.open();
    await idle();
  }
});

// Supabase gives notice early. A run that still ends well is a success after all, with one row.
Deno.test("interrupt: a run that ends in time replaces the trace", async () => {
  const { project, post, handler, idle } = harness();
  const rpc = gate();
  project.rpc = async () => {
    await rpc.pass();
    return json(200, project.makeBackup());
  };
  await post();
  await rpc.reached;
  await Promise.all([handler.interrupt("wall_clock"), handler.interrupt("termination")]);
  assert.equal(project.events.length, 1);
  rpc.open();
  await idle();
  assert.deepEqual(project.runs.map(({ success }) => success), [true]);
  assert.deepEqual(project.events.map(({ type }) => type), ["auto_backup"]);
  const context = project.events[0]?.context as Record<string, unknown>;
  assert.equal("code" in context, false);
});

// A trace that is still being written when the run ends does not become a second row, and does not
// overwrite the outcome.
Deno.test("interrupt: a trace that is slower than the run", async () => {
  /** A run whose backup has just ended, with a number of turns of the event loop since. */
  async function run(interrupts: boolean, turns: number) {
    const { project, post, handler, idle } = harness();
    const [rpc, trace] = [gate(), gate()];
    project.rpc = async () => {
      await rpc.pass();
      return json(200, project.makeBackup());
    };
    await post();
    await rpc.reached;
    let interrupted: Promise<void> | undefined;
    if (interrupts) {
      project.fault(/^POST .*system_logs/, async (_, next) => {
        await trace.pass();
        return await next();
      });
      interrupted = handler.interrupt("wall_clock");
      await trace.reached;
    }
    rpc.open();
    for (let turn = 0; turn < turns; turn++) {
      await new Promise((resolve) => setTimeout(resolve));
    }
    const ended = async () => {
      trace.open();
      await Promise.all([interrupted, idle()]);
    };
    return { project, ended };
  }
  // Nothing here waits for anything outside of the event loop: as many turns as a run without a
  // trace needs to end are enough for one that does not wait for its trace, on any machine.
  let turns = 0;
  for (let success: unknown = false; success !== true;) {
    const { project, ended } = await run(false, ++turns);
    success = project.runs[0]?.success;
    await ended();
    assert(turns < 100, "a run without a trace does not end");
  }
  const { project, ended } = await run(true, turns);
  assert.deepEqual(project.events, [], "the run did not wait for its trace");
  await ended();
  assert.deepEqual(project.runs.map(({ success }) => success), [true]);
  assert.deepEqual(project.events.map(({ type }) => type), ["auto_backup"]);
});

// A run without an alert says so in its trace, too.
Deno.test("interrupt: alerts that are off or not wanted", async () => {
  for (
    const [config, request, state] of [
      [{ alert: null }, {}, "off"],
      [{}, { alert: false }, "suppressed"],
    ] as const
  ) {
    const { project, post, handler, idle } = harness({ config });
    const rpc = gate();
    project.rpc = async () => {
      await rpc.pass();
      return json(200, null);
    };
    await post(request);
    await rpc.reached;
    await handler.interrupt("cpu");
    const context = project.events[0]?.context as Record<string, unknown>;
    assert.deepEqual(context.alert, { state });
    rpc.open();
    await idle();
  }
});

// Before the claim is known the run may be another delivery's: no trace. The claimed run leaves it
// as soon as it begins.
Deno.test("interrupt: during the claim", async () => {
  const { project, post, handler, idle } = harness();
  const claim = gate();
  project.fault(/^POST .*backup_logs/, async (_, next) => {
    await claim.pass();
    return await next();
  });
  const answer = post();
  await claim.reached;
  await handler.interrupt("early_drop");
  assert.deepEqual([project.runs, project.events], [[], []]);
  let trace: unknown;
  project.rpc = () => {
    trace = project.events[0]?.message;
    return json(200, null);
  };
  claim.open();
  await answer;
  await idle();
  assert.match(String(trace), /^Backup automático interrompido: /);
});

// The same, for a delivery that turns out to be a duplicate: the other delivery's rows stay.
Deno.test("interrupt: during the claim of a duplicate", async () => {
  const { project, post, handler, idle } = harness();
  await post({ wait: true });
  const before = JSON.stringify([project.backupLogs, project.systemLogs]);
  const claim = gate();
  project.fault(/^POST .*backup_logs/, async (_, next) => {
    await claim.pass();
    return await next();
  });
  const answer = post();
  await claim.reached;
  await handler.interrupt("memory");
  claim.open();
  assert.equal((await answer).status, 409);
  await idle();
  assert.equal(JSON.stringify([project.backupLogs, project.systemLogs]), before);
});

// Once the outcome is known its rows are being written; a trace would contradict them.
Deno.test("interrupt: while the success is written", async () => {
  const { project, post, handler, idle } = harness();
  const finish = gate();
  project.fault(/^PATCH .*backup_logs/, async (_, next) => {
    await finish.pass();
    return await next();
  });
  await post();
  await finish.reached;
  await handler.interrupt("wall_clock");
  finish.open();
  await idle();
  assert.deepEqual(project.runs.map(({ success }) => success), [true]);
  assert.deepEqual(project.events.map(({ type }) => type), ["auto_backup"]);
});

// During the alert the row says "pending"; nothing better is known.
Deno.test("interrupt: during the alert", async () => {
  const { project, post, handler, idle } = harness();
  const alert = gate();
  project.rpc = () => json(200, null);
  project.alert = async () => {
    await alert.pass();
    return json(200, { emails_sent: 1, emails_failed: 0 });
  };
  await post();
  await alert.reached;
  const before = JSON.stringify(project.systemLogs);
  await handler.interrupt("wall_clock");
  assert.equal(JSON.stringify(project.systemLogs), before);
  assert.match(before, /"alert":\{"state":"pending"\}/);
  alert.open();
  await idle();
  assert.equal(project.alerts.length, 1);
});

// Between runs there is nothing to leave a trace of.
Deno.test("interrupt: with no run under way", async () => {
  const { project, post, handler } = harness();
  await post({ wait: true });
  const calls = project.calls.length;
  await handler.interrupt("early_drop");
  assert.equal(project.calls.length, calls);
});

// A trace that cannot be written is said in the function's own log, and nothing throws.
Deno.test("interrupt: logs that cannot be written", async () => {
  const { project, post, handler, idle, log } = harness();
  const rpc = gate();
  project.rpc = async () => {
    await rpc.pass();
    return json(200, null);
  };
  await post({ run_id: REQUEST.run_id });
  await rpc.reached;
  project.fault(/^(PATCH|POST) .*_logs/, () => html(502), 6);
  await handler.interrupt("cpu");
  assert.deepEqual(log, [
    `run ${RUN_ID}: não foi possível gravar em system_logs: HTTP 502 com text/html em vez de JSON`,
    `run ${RUN_ID}: não foi possível gravar em backup_logs: HTTP 502 com text/html em vez de JSON`,
  ]);
  rpc.open();
  await idle();
});
