// The project's API, called with the key that Supabase gives to every function.

type Row = Record<string, unknown>;

export class Project {
  #url = Deno.env.get("SUPABASE_URL") + "/rest/v1/";
  #key: string;

  constructor() {
    const keys = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS") ?? "{}");
    this.#key = keys.default ?? Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");
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

  #send(method: string, path: string, body?: Row): Promise<Response> {
    const headers: Record<string, string> = {
      apikey: this.#key,
      "Content-Type": "application/json",
    };
    // New secret keys are not JWTs: they are sent only as apikey.
    if (this.#key.startsWith("eyJ")) headers.Authorization = `Bearer ${this.#key}`;
    return fetch(this.#url + path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(100_000),
    });
  }
}

function check(what: string, answer: Response): void {
  if (!answer.ok) throw new Error(`${what}: HTTP ${answer.status}`);
}
