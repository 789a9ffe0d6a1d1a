import assert from "node:assert/strict";
import { FakeProject, json, RUN_ID, SECRET_KEY, signed, TOKEN } from "./project.ts";

// The entry point, in this process: it serves the handler, takes the environment and the network
// from the platform, gives the platform its background work, and reacts to its notice.
Deno.test("index: joins the handler to the platform", async () => {
  const project = new FakeProject();
  const background: Promise<unknown>[] = [];
  let serve: ((request: Request) => Promise<Response>) | undefined;
  // deno-lint-ignore no-console -- the function's own log is what is tested
  const original = { serve: Deno.serve, fetch: globalThis.fetch, error: console.error };
  const lines: string[] = [];
  const variables = {
    SUPABASE_URL: project.url,
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: SECRET_KEY }),
    AUTO_BACKUP_TOKEN: TOKEN,
  };
  try {
    Object.assign(Deno, { serve: (handler: typeof serve) => serve = handler });
    Object.assign(globalThis, {
      fetch: project.fetch,
      EdgeRuntime: { waitUntil: (work: Promise<unknown>) => background.push(work) },
    });
    Object.assign(console, { error: (line: string) => lines.push(line) });
    for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
    await import("../index.ts");
    assert(serve !== undefined);

    let arrive = () => {};
    const reached = new Promise<void>((resolve) => arrive = resolve);
    let open = () => {};
    const opened = new Promise<void>((resolve) => open = resolve);
    project.rpc = async () => {
      arrive();
      await opened;
      return json(200, null);
    };
    const response = await serve(
      new Request("http://x/", signed({}, new Date())),
    );
    assert.equal(response.status, 202);
    assert.equal(background.length, 1);
    await reached;
    dispatchEvent(new CustomEvent("beforeunload", { detail: { reason: "memory" } }));
    dispatchEvent(new Event("beforeunload"));
    assert.equal(background.length, 3);
    await Promise.all(background.slice(1));
    assert.match(String(project.runs[0]?.details), /interrompido: .*\(limite de memória\)$/);

    // A failed write is repeated after a pause of the real clock.
    project.fault(/^PATCH .*system_logs/, () => json(503, {}));
    open();
    await Promise.all(background);
    assert.match(String(project.runs[0]?.details), /falhou: backup_all_data não devolveu/);
    assert.match(
      lines.at(-1) ?? "",
      new RegExp(`^auto-backup: run ${RUN_ID}: failed, backup_empty`),
    );
  } finally {
    Object.assign(Deno, { serve: original.serve });
    Object.assign(globalThis, { fetch: original.fetch, EdgeRuntime: undefined });
    Object.assign(console, { error: original.error });
    for (const name of Object.keys(variables)) Deno.env.delete(name);
  }
});
