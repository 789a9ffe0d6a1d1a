/**
 * Access to the function's project: its keys, the calls of PostgREST that a run needs, and the call of
 * another Edge Function. A response counts only if it has the form of the called service's responses;
 * an HTML page with status 200 comes from something else.
 */

import type { Clean } from "./clean.ts";
import { isRecord } from "./config.ts";
import contract from "./contract.json" with { type: "json" };
import { readBytes } from "./request.ts";
import type { Env } from "./token.ts";

/** The part of fetch that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Calls back after a number of milliseconds, unless the returned function is called before. */
export type Timer = (ms: number, callback: () => void) => () => void;

/** Address and keys of the project. */
export interface Project {
  readonly url: string;
  /** The key that every call sends as apikey. */
  readonly key: string;
  /** Environment variable in which the key was found. */
  readonly keySource: string;
  /** A JWT for functions that require one, or null if the project has none. */
  readonly jwt: string | null;
  /** The legacy key for calls that refuse the first one, or null if there is no other. */
  readonly otherKey: string | null;
}

/** The headers that show a project's keys. */
interface Keys {
  readonly apikey: string;
  readonly bearer: string | null;
}

/** Why a call failed. */
export interface Problem {
  /**
   * rejected: the service refused the call, and a retry would not help.
   * unreachable: there was no usable response, and the call may or may not have had an effect.
   */
  readonly kind: "rejected" | "unreachable";
  readonly cause: "timeout" | "network" | "empty" | "foreign" | "answer" | "rows";
  /** HTTP status, if there was a response. */
  readonly status?: number;
  /** SQLSTATE or PGRST code, if the response had one. */
  readonly sqlstate?: string;
  /**
   * Clean text: the time waited, the network error, the content type of a body that is not valid
   * JSON, the service's message, or the number of rows if it is not one.
   */
  readonly detail: string;
}

/** A value, or why there is none. */
export type Outcome<T> = { readonly ok: true; readonly value: T } | {
  readonly ok: false;
  readonly problem: Problem;
};

/** A row in PostgREST's JSON form. */
export type Row = Record<string, unknown>;

/** The response to a call. */
export type Answer =
  | { readonly kind: "json"; readonly status: number; readonly body: unknown }
  | { readonly kind: "empty"; readonly status: number }
  | { readonly kind: "foreign"; readonly status: number; readonly contentType: string }
  | { readonly kind: "timeout"; readonly ms: number }
  | { readonly kind: "network"; readonly error: string };

/** A code of PostgreSQL, PostgREST, or a gateway. Anything else is a text. */
const CODE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,59}$/;

const USER_AGENT = `auto-backup/${contract.function_version}`;

/**
 * Reads the project's URL and keys. New keys are preferred, because disabled legacy keys may still be
 * in the environment.
 *
 * @returns the project, or a sentence that says what the environment lacks.
 */
export function readProject(env: Env): Project | string {
  const url = (env("SUPABASE_URL") ?? "").replace(/\/+$/, "");
  if (!/^https?:\/\/[^\s/]+/.test(url)) return "SUPABASE_URL is missing or not a URL";
  const secret = firstKey(env("SUPABASE_SECRET_KEYS"));
  const legacy = usableKey(env("SUPABASE_SERVICE_ROLE_KEY"));
  const key = secret ?? legacy;
  if (key === null) {
    return "neither SUPABASE_SECRET_KEYS nor SUPABASE_SERVICE_ROLE_KEY contains a key";
  }
  const jwts = [key, legacy, usableKey(env("SUPABASE_ANON_KEY"))].filter((k) =>
    k !== null && isJwt(k)
  );
  return {
    url,
    key,
    keySource: secret === null ? "SUPABASE_SERVICE_ROLE_KEY" : "SUPABASE_SECRET_KEYS",
    jwt: jwts[0] ?? null,
    otherKey: secret !== null && legacy !== secret ? legacy : null,
  };
}

/** Whether a key is a JWT, which PostgREST also needs as bearer token. New keys are not JWTs. */
export function isJwt(key: string): boolean {
  return /^eyJ[\w-]*\.[\w-]+\.[\w-]+$/.test(key);
}

/**
 * The database and the functions of one project. The secret key is sent first, as apikey alone. A
 * call that is refused with 401 had no effect: it is repeated once the other way, with the legacy
 * key or, to a function, with a JWT beside the key. Later calls begin with the way that worked.
 */
export class Supabase {
  readonly #project: Project;
  readonly #fetch: Fetch;
  readonly #timer: Timer;
  readonly #clean: Clean;
  #restKeys: readonly Keys[];
  #functionKeys: readonly Keys[];

  constructor(project: Project, fetch: Fetch, timer: Timer, clean: Clean) {
    this.#project = project;
    this.#fetch = fetch;
    this.#timer = timer;
    this.#clean = clean;
    const { key, otherKey, jwt } = project;
    this.#restKeys = [key, otherKey].filter((k) => k !== null).map((k) => {
      return { apikey: k, bearer: isJwt(k) ? k : null };
    });
    this.#functionKeys = [isJwt(key) ? jwt : null, jwt].map((bearer) => ({ apikey: key, bearer }));
  }

  /** Inserts one row without reading it back. */
  async insert(table: string, row: Row, timeoutMs: number): Promise<Outcome<null>> {
    const answer = await this.#rest("POST", table, {}, timeoutMs, row, "return=minimal");
    if (answer.kind === "empty" && answer.status === 201) return { ok: true, value: null };
    return this.#problem(answer);
  }

  /** Inserts one row and returns the columns that were asked for. */
  async insertReturning(
    table: string,
    row: Row,
    columns: string,
    timeoutMs: number,
  ): Promise<Outcome<Row>> {
    const query = { select: columns };
    const answer = await this.#rest("POST", table, query, timeoutMs, row, "return=representation");
    return this.#oneRow(answer, 201);
  }

  /** Changes the row with this ID. It is a problem if there is not exactly one. */
  async update(
    table: string,
    id: string | number,
    change: Row,
    timeoutMs: number,
  ): Promise<Outcome<Row>> {
    const query = { id: `eq.${id}`, select: "id" };
    const answer = await this.#rest(
      "PATCH",
      table,
      query,
      timeoutMs,
      change,
      "return=representation",
    );
    return this.#oneRow(answer, 200);
  }

  /** Reads rows. */
  async select(
    table: string,
    query: Record<string, string>,
    timeoutMs: number,
  ): Promise<Outcome<Row[]>> {
    const answer = await this.#rest("GET", table, query, timeoutMs);
    const rows = rowsOf(answer, 200);
    return rows === null ? this.#problem(answer) : { ok: true, value: rows };
  }

  /** Calls an SQL function without arguments. It uses POST, because GET would run it read-only. */
  call(rpc: string, timeoutMs: number): Promise<Answer> {
    return this.#rest("POST", `rpc/${rpc}`, {}, timeoutMs, {});
  }

  /** Calls another Edge Function. */
  async invoke(slug: string, payload: Row, timeoutMs: number): Promise<Answer> {
    const url = `${this.#project.url}/functions/v1/${slug}`;
    const [answer, keys] = await this.#try("POST", url, this.#functionKeys, timeoutMs, payload);
    this.#functionKeys = keys;
    return answer;
  }

  /** Describes a response that is not a success. */
  problem(answer: Answer): Problem {
    switch (answer.kind) {
      case "timeout":
        return { kind: "unreachable", cause: "timeout", detail: `${answer.ms / 1000} s` };
      case "network":
        return { kind: "unreachable", cause: "network", detail: answer.error };
      case "empty":
        return { kind: "unreachable", cause: "empty", status: answer.status, detail: "" };
      case "foreign":
        return {
          kind: "unreachable",
          cause: "foreign",
          status: answer.status,
          detail: this.#clean(answer.contentType),
        };
      case "json":
        return this.#answered(answer.status, answer.body);
    }
  }

  #answered(status: number, value: unknown): Problem {
    const body = isRecord(value) ? value : {};
    const message = [body.message, body.msg, body.error].find((text) => typeof text === "string");
    const refused = status >= 400 && status < 500 && status !== 408 && status !== 429;
    return {
      kind: refused ? "rejected" : "unreachable",
      cause: "answer",
      status,
      ...(typeof body.code === "string" && CODE.test(body.code) ? { sqlstate: body.code } : {}),
      detail: this.#clean(message ?? ""),
    };
  }

  #problem(answer: Answer): { ok: false; problem: Problem } {
    return { ok: false, problem: this.problem(answer) };
  }

  #oneRow(answer: Answer, status: number): Outcome<Row> {
    const rows = rowsOf(answer, status);
    if (rows === null) return this.#problem(answer);
    const [row] = rows;
    if (row !== undefined && rows.length === 1) return { ok: true, value: row };
    return {
      ok: false,
      problem: { kind: "rejected", cause: "rows", status, detail: String(rows.length) },
    };
  }

  async #rest(
    method: string,
    path: string,
    query: Record<string, string>,
    timeoutMs: number,
    body?: Row,
    prefer?: string,
  ): Promise<Answer> {
    const search = new URLSearchParams(query).toString();
    const url = `${this.#project.url}/rest/v1/${path}${search === "" ? "" : `?${search}`}`;
    const [answer, keys] = await this.#try(method, url, this.#restKeys, timeoutMs, body, prefer);
    this.#restKeys = keys;
    return answer;
  }

  /**
   * Sends a request with each of the keys until one is not refused.
   *
   * @returns the response to the last request, and the keys in the order for the next call.
   */
  async #try(
    method: string,
    url: string,
    keys: readonly Keys[],
    timeoutMs: number,
    body?: Row,
    prefer?: string,
  ): Promise<[Answer, readonly Keys[]]> {
    const abort = new AbortController();
    const cancel = this.#timer(timeoutMs, () => abort.abort());
    try {
      let first: Answer | null = null;
      for (const [i, key] of keys.entries()) {
        const headers = new Headers({
          "Accept": "application/json",
          "User-Agent": USER_AGENT,
          "apikey": key.apikey,
        });
        if (key.bearer !== null) headers.set("Authorization", `Bearer ${key.bearer}`);
        if (prefer !== undefined) headers.set("Prefer", prefer);
        if (body !== undefined) headers.set("Content-Type", "application/json");
        const response = await this.#fetch(url, {
          method,
          headers,
          body: body === undefined ? null : JSON.stringify(body),
          // A redirect would turn a POST into a GET, or send the key to another host.
          redirect: "manual",
          signal: abort.signal,
        });
        const answer = await readAnswer(response);
        if (response.status !== 401) return [answer, [key, ...keys.filter((k) => k !== key)]];
        first ??= answer;
        if (i + 1 === keys.length || same(key, keys[i + 1])) return [first, keys];
      }
      throw new Error("there is no key");
    } catch (error) {
      if (abort.signal.aborted) return [{ kind: "timeout", ms: timeoutMs }, keys];
      // The runtime's message begins with the URL, which would leave no room for the reason.
      const text = this.#clean(error).replace(/^error sending request for url \(.*?\): /, "");
      return [{ kind: "network", error: text }, keys];
    } finally {
      cancel();
    }
  }
}

function same(a: Keys, b: Keys | undefined): boolean {
  return a.apikey === b?.apikey && a.bearer === b.bearer;
}

async function readAnswer(response: Response): Promise<Answer> {
  const { status } = response;
  const contentType = (response.headers.get("content-type") ?? "").replace(/\s*;.*$/, "");
  const bytes = await readBytes(response.body, contract.limits.response_bytes);
  if (bytes?.length === 0) return { kind: "empty", status };
  if (bytes === null || !/^application\/([\w.-]+\+)?json$/i.test(contentType)) {
    return { kind: "foreign", status, contentType };
  }
  try {
    return { kind: "json", status, body: JSON.parse(new TextDecoder().decode(bytes)) };
  } catch {
    return { kind: "foreign", status, contentType };
  }
}

function rowsOf(answer: Answer, status: number): Row[] | null {
  if (answer.kind !== "json" || answer.status !== status) return null;
  return Array.isArray(answer.body) && answer.body.every(isRecord) ? answer.body : null;
}

/** The key named "default", or the first one, of SUPABASE_SECRET_KEYS. */
function firstKey(text: string | undefined): string | null {
  let keys: unknown;
  try {
    keys = JSON.parse(text ?? "");
  } catch {
    return null;
  }
  if (!isRecord(keys)) return null;
  return [keys.default, ...Object.values(keys)].map(usableKey).find((key) => key !== null) ?? null;
}

/** A key that a header can contain, or null. */
function usableKey(key: unknown): string | null {
  return typeof key === "string" && /^[\x21-\x7e]+$/.test(key) ? key : null;
}
