/**
 * The function as it is deployed: the shipped files and a generated config.json in a directory of
 * their own, run by a Deno process that can reach nothing but a project on loopback.
 */

import assert from "node:assert/strict";
import sample from "../config.json" with { type: "json" };
import { FakeProject, json, SECRET_KEY, SERVICE_JWT, signed, TOKEN } from "./project.ts";

const SOURCE = new URL("../", import.meta.url);

// What runs the function: the platform chooses the address.
const PLATFORM = `
const serve = Deno.serve;
Deno.serve = (handler) => serve({ hostname: "127.0.0.1", port: 0 }, handler);
await import("./index.ts");
`;

/** A deployed function. */
interface Deployment extends AsyncDisposable {
  readonly url: string;
  /** Everything that it has written. */
  readonly output: () => string;
}

async function deploy(config: unknown, env: Record<string, string>): Promise<Deployment> {
  const directory = await Deno.makeTempDir({ prefix: "auto-backup-" });
  for await (const { name } of Deno.readDir(SOURCE)) {
    if (!/\.ts$|^(codes|contract|tokens)\.json$/.test(name)) continue;
    await Deno.copyFile(new URL(name, SOURCE), `${directory}/${name}`);
  }
  await Deno.writeTextFile(`${directory}/config.json`, JSON.stringify(config));
  await Deno.writeTextFile(`${directory}/platform.js`, PLATFORM);

  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      "--no-config",
      "--no-remote",
      "--no-npm",
      "--allow-env",
      "--allow-net=127.0.0.1",
      `${directory}/platform.js`,
    ],
    clearEnv: true,
    env: {
      DENO_DIR: `${directory}/cache`,
      NO_COLOR: "1",
      ...env,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();

  let output = "";
  let found = (_: string) => {};
  const address = new Promise<string>((resolve) => found = resolve);
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      output += text;
      const url = /Listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(output)?.[1];
      if (url !== undefined) found(url);
    }
  };
  const streams = Promise.all([read(process.stdout), read(process.stderr)]);
  const stop = async () => {
    try {
      process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await Promise.all([process.status, streams]);
    await Deno.remove(directory, { recursive: true });
  };
  const url = await Promise.race([
    address,
    process.status.then(() => null),
  ]);
  if (url === null) {
    await stop();
    throw new Error(`the function did not start:\n${output}`);
  }
  return { url, output: () => output, [Symbol.asyncDispose]: stop };
}

function environment(project: { port: number }): Record<string, string> {
  return {
    SUPABASE_URL: `http://127.0.0.1:${project.port}`,
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: SECRET_KEY }),
    SUPABASE_SERVICE_ROLE_KEY: SERVICE_JWT,
    AUTO_BACKUP_TOKEN: TOKEN,
  };
}

function post(url: string, change: Record<string, unknown> = {}): Promise<Response> {
  return fetch(url, signed(change, new Date()));
}

// A night, a bad night and a stranger, in one process over real HTTP.
Deno.test("e2e: the deployed files, in a Deno of their own", async () => {
  const project = new FakeProject();
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => project.handle(request),
  );
  const config = { ...sample, verify_table: "backup_articles" };
  await using deployed = await deploy(config, environment(server.addr));
  const { url } = deployed;

  const stranger = await fetch(url, { method: "POST", headers: { apikey: SECRET_KEY } });
  assert.deepEqual([stranger.status, (await stranger.json()).code], [401, "unauthorized"]);

  const probe = await post(url, { action: "probe" });
  assert.deepEqual([probe.status, (await probe.json()).success], [200, true]);
  assert.equal(project.backupLogs.length, 0);

  // Six deliveries at once are all answered before the backup ends.
  let end = () => {};
  const ended = new Promise<void>((resolve) => end = resolve);
  project.rpc = async () => {
    await ended;
    return json(200, project.makeBackup());
  };
  const answers = await Promise.all(Array.from({ length: 6 }, () => post(url)));
  const statuses = await Promise.all(answers.map(async (answer) => {
    await answer.body?.cancel();
    return answer.status;
  }));
  assert.deepEqual(statuses.sort(), [202, 409, 409, 409, 409, 409]);
  end();
  await project.until(() => project.runs[0]?.success === true);
  assert.deepEqual(project.events.map(({ type }) => type), ["auto_backup"]);

  const run_id = crypto.randomUUID();
  project.rpc = () => json(200, { success: false, error: "disk full" });
  const failed = await post(url, { run_id, wait: true });
  const body = await failed.json();
  assert.deepEqual([failed.status, body.code, body.alert.state], [
    500,
    "backup_failed",
    "delivered",
  ]);
  assert.equal(project.alerts.length, 1);

  // A redirect is not followed: it would carry the key away.
  const location = `http://127.0.0.1:${server.addr.port}/stolen`;
  project.rpc = () => new Response(null, { status: 307, headers: { Location: location } });
  project.fault(/action_type=eq.backup/, () => json(200, []), 99);
  const started = post(url, { run_id: crypto.randomUUID() });
  await (await started).body?.cancel();
  await project.until(() =>
    project.calls.some(({ query }) => query.get("action_type") === "eq.backup")
  );
  assert(!project.calls.some(({ path }) => path === "/stolen"));

  assert.match(deployed.output(), /^auto-backup: run .* succeeded, 28 records$/m);
  assert.match(deployed.output(), /^auto-backup: run .* failed, backup_failed: .*disk full/m);
});

// The RPC's own timeout, through a real connection: the function hangs up, and the database commits
// nevertheless.
Deno.test("e2e: an RPC that takes longer than the function waits", async () => {
  // Its clock stands still, and the request must not be younger than the backup.
  const project = new FakeProject(new Date(Date.now() + 60_000));
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => project.handle(request),
  );
  const config = { ...sample, verify_table: "backup_articles", rpc_timeout_ms: 300 };
  await using deployed = await deploy(config, environment(server.addr));
  project.fault(/^POST .*\/rpc\//, async (call, next) => {
    await call.gone();
    return await next();
  });
  const late = await post(deployed.url, { wait: true });
  assert.deepEqual([late.status, (await late.json()).total_records], [200, 28]);
  const [event] = project.events;
  assert.equal((event?.context as Record<string, unknown> | undefined)?.found_in_log, true);
});

// A project that is not there: the function survives it, and the next run.
Deno.test("e2e: nothing listens at the project's address", async () => {
  const dead = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = dead.addr;
  dead.close();
  await using deployed = await deploy(sample, environment({ port }));
  const runs = [crypto.randomUUID(), crypto.randomUUID()];
  for (const response of await Promise.all(runs.map((run_id) => post(deployed.url, { run_id })))) {
    const body = await response.json();
    assert.deepEqual([response.status, body.code], [500, "log_unreachable"]);
    assert.match(body.error, /falha de rede \(.*\(os error 111\)/);
    assert.equal(body.alert.state, "not_delivered");
  }
});

// A configuration that is wrong does not keep the function from booting and saying so.
Deno.test("e2e: a broken configuration", async () => {
  await using deployed = await deploy({ backup: 1 }, environment({ port: 1 }));
  const response = await post(deployed.url);
  assert.deepEqual([response.status, (await response.json()).code], [500, "bad_config"]);
});
