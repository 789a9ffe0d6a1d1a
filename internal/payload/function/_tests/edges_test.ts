/** The edges of what the function accepts, and what it writes into its own log. */

import assert from "node:assert/strict";
import sample from "../config.json" with { type: "json" };
import { parseConfig } from "../config.ts";
import { Run } from "../run.ts";
import { harness, html, json } from "./project.ts";

Deno.test("edges: the shortest and the longest timeout of the RPC", () => {
  for (const rpc_timeout_ms of [100, 380_000]) {
    const config = parseConfig({ ...sample, rpc_timeout_ms });
    assert.ok(typeof config !== "string", `${rpc_timeout_ms}: ${config}`);
    assert.equal(config.rpcTimeoutMs, rpc_timeout_ms);
  }
});

// An answer counts as JSON by its whole content type: PostgREST's own are application/json and
// application/vnd.pgrst.object+json.
Deno.test("edges: which content types are JSON", async () => {
  for (
    const [type, made] of [
      ["application/json", true],
      ["Application/JSON; charset=utf-8", true],
      ["application/vnd.pgrst.object+json", true],
      ["text/application/json", false],
      ["application/jsonp", false],
      ["application/json-seq", false],
      ["text/json", false],
      ["application/x+y+json", false],
    ] as const
  ) {
    const { project, post } = harness();
    project.fault(
      /POST .*\/rpc\//,
      () =>
        new Response(JSON.stringify(project.makeBackup()), { headers: { "Content-Type": type } }),
    );
    project.fault(/GET .*action_type=eq\.backup/, () => json(200, []), 99);
    const result = await (await post({ wait: true })).json();
    assert.equal(result.success, made, type);
  }
});

// A run that has ended is forgotten, however it ended: an instance serves requests for minutes.
Deno.test("edges: only a run that goes on is interrupted", async () => {
  const { interrupt } = Run.prototype;
  let interrupted = 0;
  Run.prototype.interrupt = function (reason) {
    interrupted++;
    return interrupt.call(this, reason);
  };
  try {
    const { project, handler, post, idle } = harness();
    await post({ wait: true }); // succeeds
    await post({ wait: true }); // is a duplicate
    project.fault(/POST .*backup_logs/, () => html(502), 9);
    await post({ wait: true, run_id: crypto.randomUUID() }); // cannot be claimed
    await handler.interrupt("wall_clock");
    assert.equal(interrupted, 0);

    const reached = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    project.rpc = async () => {
      reached.resolve();
      await opened.promise;
      return json(200, null);
    };
    const { handler: busy, project: other, post: ask, idle: end } = harness();
    other.rpc = project.rpc;
    await ask();
    await reached.promise;
    await busy.interrupt("wall_clock");
    assert.equal(interrupted, 1);
    opened.resolve();
    await Promise.all([idle(), end()]);
  } finally {
    Run.prototype.interrupt = interrupt;
  }
});

// The function's own log is what its owner sees in the dashboard.
Deno.test("edges: what the own log says of a failure and its alert", async () => {
  for (
    const [answer, alert] of [
      [{ emails_sent: 2, emails_failed: 0 }, "delivered"],
      [
        { emails_sent: 1, emails_failed: 1 },
        "not_delivered: 1 de 2 e-mails não foram enviados",
      ],
    ] as const
  ) {
    const { project, post, log } = harness();
    project.rpc = () => json(200, null);
    project.alert = () => json(200, answer);
    const { run_id, code, error } = await (await post({ wait: true })).json();
    assert.deepEqual(log, [`run ${run_id}: failed, ${code}: ${error}; alert ${alert}`]);
  }
});
