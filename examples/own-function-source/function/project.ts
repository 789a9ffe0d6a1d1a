// The project's API, called with the keys that Supabase gives to every function: the
// secret key and, where that is refused or missing, the legacy one.

type Row = Record<string, unknown>;

export class Project {
  #url = Deno.env.get("SUPABASE_URL") + "/rest/v1/";
  #keys: string[];

  constructor() {
    const secret = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS") ?? "{}");
    const legacy = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");
    this.#keys = [secret.default ?? Object.values(secret)[0], legacy].filter((key) => key);
    if (this.#keys.length === 0) throw new Error("the environment has no key of the project");
  }

  async canRead(table: string): Promise<boolean> {
    const answer = await this.#send("GET", `${table}?select=id&limit=1`);
    return answer.ok;
  }

  insert(table: string, row: Row): Promise<Response> {
    return this.#send("POST", table, row);
  }

  async mustInsert(table: string, row: Row): Promise<void> {
    check(table, await this.insert(table, row));
  }

  async mustUpdate(table: string, id: string, row: Row): Promise<void> {
    check(table, await this.#send("PATCH", `${table}?id=eq.${id}`, row));
  }

  // deno-lint-ignore no-explicit-any -- whatever the SQL function returns
  async call(rpc: string): Promise<any> {
    const answer = await this.#send("POST", `rpc/${rpc}`, {});
    check(rpc, answer);
    return await answer.json();
  }

  // Sends a request with one key and, if that is refused (401), which has no effect, with
  // the next one. The first refusal says more than the last.
  async #send(method: string, path: string, body?: Row): Promise<Response> {
    const signal = AbortSignal.timeout(100_000);
    let refusal: Response | undefined;
    for (const key of this.#keys) {
      const headers: Record<string, string> = { apikey: key, "Content-Type": "application/json" };
      // Secret keys are not JWTs: they are sent only as apikey.
      if (key.startsWith("eyJ")) headers.Authorization = `Bearer ${key}`;
      const answer = await fetch(this.#url + path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal,
      });
      if (answer.status !== 401) {
        this.#keys = [key, ...this.#keys.filter((other) => other !== key)];
        return answer;
      }
      refusal ??= answer;
    }
    return refusal!;
  }
}

function check(what: string, answer: Response): void {
  if (!answer.ok) throw new Error(`${what}: HTTP ${answer.status}`);
}
