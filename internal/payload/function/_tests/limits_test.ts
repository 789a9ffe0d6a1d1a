/**
 * The time limits of contract.json as they work together: whatever does not answer, the alert goes
 * out before the platform stops the function.
 */

import assert from "node:assert/strict";
import sample from "../config.json" with { type: "json" };
import contract from "../contract.json" with { type: "json" };
import type { Timer } from "../supabase.ts";
import {
  type FakeProject,
  type Fault,
  type Harness,
  harness,
  html,
  json,
  signed,
  silence,
} from "./project.ts";

const { limits } = contract;

/** How long the smallest plan lets a function run. */
const PLATFORM_MS = 150_000;

/** What the platform itself and a project without problems take of that, at most. */
const MARGIN_MS = 1_000;

const ALWAYS = Number.MAX_SAFE_INTEGER;
const LOGS = /rest\/v1\/(backup|system)_logs/;

/** A project, and when the call under way is given up. */
interface Waiting {
  readonly project: FakeProject;
  readonly due: () => number;
}

/** The function with the real limits. */
function timed(): Harness & Waiting {
  let due = Infinity;
  const timer: Timer = (ms, callback) => {
    due = made.project.now().getTime() + ms;
    return made.project.timer(ms, callback);
  };
  const made = harness({ config: { verify_table: "backup_articles" }, deps: { timer } });
  return { ...made, due: () => due };
}

/** An answer that comes a moment before a limit, if it is waited for so long. */
function slow({ project, due }: Waiting, limit: number): Fault {
  return async (_, next) => {
    const at = project.now().getTime() + limit - 1;
    if (at >= due()) return silence();
    await project.sleep(limit - 1);
    return await next();
  };
}

/** What can keep a run waiting, as long as the limits allow. */
const waits: Record<string, (waiting: Waiting) => void> = {
  "the RPC": ({ project }) => project.fault(/POST .*\/rpc\//, silence, ALWAYS),
  "the RPC, then both logs": ({ project }) =>
    project.rpc = () => {
      project.fault(LOGS, silence, ALWAYS);
      return silence();
    },
  "the RPC, then slow logs": (waiting) =>
    waiting.project.rpc = () => {
      waiting.project.fault(LOGS, slow(waiting, limits.write_timeout_ms), ALWAYS);
      return silence();
    },
  "the claim, then the RPC": (waiting) => {
    const { project } = waiting;
    project.fault(/POST .*backup_logs/, slow(waiting, limits.claim_timeout_ms));
    project.fault(/POST .*\/rpc\//, silence, ALWAYS);
  },
  "the claim's answer, then the search for it, then the RPC": (waiting) => {
    const { project } = waiting;
    project.fault(/POST .*backup_logs/, async (_, next) => {
      await next();
      return silence();
    });
    project.fault(/GET .*backup_logs/, slow(waiting, limits.read_timeout_ms));
    project.fault(/POST .*\/rpc\//, silence, ALWAYS);
  },
  "a success at last, then system_logs": (waiting) => {
    const { project } = waiting;
    project.fault(/POST .*\/rpc\//, slow(waiting, sample.rpc_timeout_ms));
    project.fault(/ .*system_logs/, silence, ALWAYS);
  },
  "a success at last, then backup_logs": (waiting) => {
    const { project } = waiting;
    project.fault(/POST .*\/rpc\//, slow(waiting, sample.rpc_timeout_ms));
    project.fault(/PATCH .*backup_logs/, silence, ALWAYS);
  },
  "a success at last, then its proof, then both logs": (waiting) => {
    const { project } = waiting;
    project.rpc = async () => {
      await project.sleep(sample.rpc_timeout_ms - 1);
      project.fault(LOGS, silence, ALWAYS);
      return json(200, project.makeBackup());
    };
    project.fault(/GET .*backup_articles/, slow(waiting, limits.read_timeout_ms));
  },
  "the claim": ({ project }) => project.fault(/POST .*backup_logs/, silence, ALWAYS),
  "both logs": ({ project }) => project.fault(LOGS, silence, ALWAYS),
};

for (const [name, arrange] of Object.entries(waits)) {
  Deno.test(`limits: the alert goes out in time after waiting for ${name}`, async () => {
    const { project, post, idle, due } = timed();
    const begin = project.now().getTime();
    const since = () => project.now().getTime() - begin;
    arrange({ project, due });
    let alertedAt: number | undefined;
    project.alert = () => {
      alertedAt = since();
      return silence();
    };
    await post();
    await idle();
    assert.ok(alertedAt !== undefined, "there was no alert");
    const latest = PLATFORM_MS - MARGIN_MS - limits.alert_timeout_ms;
    assert.ok(alertedAt <= latest, `it goes out after ${alertedAt} ms, and has to by ${latest}`);
  });
}

Deno.test("limits: a run's parts, one after the other, fit into the platform's time", () => {
  const { rpc_timeout_ms } = sample;
  const { settle_timeout_ms, write_budget_ms, alert_timeout_ms } = limits;
  const sum = rpc_timeout_ms + settle_timeout_ms + write_budget_ms + alert_timeout_ms + MARGIN_MS;
  assert.ok(sum <= PLATFORM_MS, `they take ${sum} ms`);
  // What is left of the RPC's time after the slowest claim is enough for a backup.
  assert.ok(limits.claim_budget_ms <= rpc_timeout_ms / 5);
  assert.ok(limits.claim_timeout_ms < limits.claim_budget_ms, "no second attempt to claim");
  assert.ok(limits.write_timeout_ms < limits.write_budget_ms, "no second attempt to write");
});

/** Answers a call after a time, if it is waited for so long. */
function answersAfter(ms: number): (waiting: Waiting, when: RegExp) => void {
  return (waiting, when) => waiting.project.fault(when, slow(waiting, ms + 1));
}

/** How long each call is waited for. */
for (
  const [name, when, seconds, code] of [
    ["the claim", /POST .*backup_logs/, 10, "log_unreachable"],
    ["the proof", /GET .*backup_articles/, 10, "backup_unverified"],
    ["the RPC", /POST .*\/rpc\//, 100, "rpc_timeout"],
  ] as const
) {
  for (const late of [false, true]) {
    Deno.test(`limits: ${name} answers ${late ? "too late" : "just in time"}`, async () => {
      const { project, post, due } = timed();
      if (name === "the claim") project.fault(/GET .*backup_logs/, () => html(500), ALWAYS);
      project.rpc = () => json(200, project.makeBackup());
      if (name === "the RPC" && late) project.fault(/GET .*backup_logs/, () => json(200, []), 99);
      answersAfter(seconds * 1000 - (late ? 0 : 2))({ project, due }, when);
      const result = await (await post({ wait: true })).json();
      assert.equal(result.code, late ? code : undefined);
      assert.equal(result.success, !late);
    });
  }
}

Deno.test("limits: an alert is waited for half a minute", async () => {
  for (const [ms, state] of [[29_998, "delivered"], [30_000, "not_delivered"]] as const) {
    const { project, post, due } = timed();
    project.rpc = () => json(200, null);
    answersAfter(ms)({ project, due }, /alert-processor/);
    const result = await (await post({ wait: true })).json();
    assert.equal(result.alert.state, state, `after ${ms} ms`);
  }
});

Deno.test("limits: a write is tried three times, after half a second and after one more", async () => {
  const { project, post } = timed();
  project.rpc = () => json(200, null);
  const tried: number[] = [];
  project.fault(/POST .*system_logs/, () => {
    tried.push(project.now().getTime());
    return html(503);
  }, ALWAYS);
  project.alert = () => {
    tried.push(NaN); // what follows is the alert's outcome
    return json(200, { emails_sent: 1, emails_failed: 0 });
  };
  await (await post({ wait: true })).json();
  const before = tried.slice(0, tried.findIndex(Number.isNaN));
  const pauses = before.slice(1).map((at, i) => at - (before[i] ?? 0));
  assert.deepEqual(pauses, [500, 1000]);
});

Deno.test("limits: a write that hangs is given up after five seconds, all after eight", async () => {
  const { project, post } = timed();
  project.rpc = () => json(200, null);
  const tried: number[] = [];
  const begin = project.now().getTime();
  const since = () => Math.round((project.now().getTime() - begin) / 100) / 10;
  project.fault(/POST .*system_logs/, () => {
    tried.push(since());
    return silence();
  }, ALWAYS);
  project.fault(/PATCH .*backup_logs/, () => {
    tried.push(since());
    return json(200, [{}]);
  });
  await (await post({ wait: true })).json();
  assert.deepEqual(tried.slice(0, 3), [0, 5.5, 8]);
});

Deno.test("limits: a lost backup is looked for every two seconds, for ten", async () => {
  const { project, post } = timed();
  project.rpc = () => html(502);
  const begin = project.now().getTime();
  const looked: number[] = [];
  project.fault(/GET .*action_type=eq\.backup/, () => {
    looked.push(Math.round((project.now().getTime() - begin) / 1000));
    return json(200, []);
  }, ALWAYS);
  await (await post({ wait: true })).json();
  assert.deepEqual(looked, [0, 2, 4, 6, 8, 10]);
});

Deno.test("limits: a request of 16 KiB is read, and an answer of 1 MiB", async () => {
  const { post, project } = timed();
  const size = String(signed({ wait: true, more: "" }, project.now()).body).length;
  const padded = (bytes: number) => post({ wait: true, more: "x".repeat(bytes - size) });
  assert.equal((await padded(16 * 1024 + 1)).status, 413);
  for (const [bytes, success] of [[1024 * 1024, true], [1024 * 1024 + 1, false]] as const) {
    const backup = { ...project.makeBackup(), more: "" };
    const { length } = new TextEncoder().encode(JSON.stringify(backup));
    project.rpc = () => json(200, { ...backup, more: "x".repeat(bytes - length) });
    project.fault(/GET .*action_type=eq\.backup/, () => json(200, []), 99);
    const run_id = crypto.randomUUID();
    const result = await (await post({ wait: true, run_id })).json();
    assert.equal(result.success, success, `an answer of ${bytes} bytes`);
  }
  assert.equal((await padded(16 * 1024)).status, 400); // it has been read, and has a field too many
});

Deno.test("limits: an error is as long as the database cuts it", async () => {
  const sql = await Deno.readTextFile(new URL("../../sql/functions/plain.sql", import.meta.url));
  assert.equal(limits.error_chars, Number(/length integer default (\d+)/.exec(sql)?.[1]));
});
