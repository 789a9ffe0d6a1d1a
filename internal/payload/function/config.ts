/**
 * The function's configuration, config.json, which contains no secrets. The file in this directory
 * has the defaults and is for development; a deployment has a generated one instead.
 */

/** How a failed backup is reported. */
export interface AlertConfig {
  /** Slug of the Edge Function that sends the e-mails. */
  readonly function: string;
  /** Source of the alert that the e-mail's subject names. */
  readonly source: string;
}

/** A valid configuration. */
export interface Config {
  /** Name of the backup, which every request must contain. */
  readonly backup: string;
  /** Time zone of displayed times. */
  readonly timezone: string;
  /** Environment variable with the invocation token. */
  readonly tokenSecret: string;
  /** SQL function that makes the backup. */
  readonly rpc: string;
  /** How long the SQL function may take, in milliseconds. */
  readonly rpcTimeoutMs: number;
  /** Table that must contain rows of the new backup, or null to trust the SQL function. */
  readonly verifyTable: string | null;
  /** Null if there are no alerts. */
  readonly alert: AlertConfig | null;
}

const SQL_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;

/**
 * Validates a configuration.
 *
 * @returns the configuration, or a sentence that says which field is wrong. It never throws, so that
 * the function starts even with a bad configuration and can report it.
 */
export function parseConfig(value: unknown): Config | string {
  if (!isRecord(value)) return "config.json is not an object";
  const { backup, timezone, token_secret, rpc, rpc_timeout_ms, verify_table, alert } = value;

  if (!matches(backup, /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/)) return "backup is not a valid name";
  if (timezone !== undefined && !matches(timezone, /^[A-Za-z][A-Za-z0-9_+/-]*$/)) {
    return "timezone is not the name of a time zone";
  }
  if (!matches(token_secret, /^[A-Z][A-Z0-9_]*$/)) {
    return "token_secret is not the name of an environment variable";
  }
  if (!matches(rpc, SQL_NAME)) return "rpc is not the name of an SQL function";
  if (!isInteger(rpc_timeout_ms) || rpc_timeout_ms < 100 || rpc_timeout_ms > 380_000) {
    return "rpc_timeout_ms is not a whole number from 100 to 380000";
  }
  if (verify_table !== undefined && verify_table !== null && !matches(verify_table, SQL_NAME)) {
    return "verify_table is neither null nor the name of a table";
  }
  const parsed = parseAlert(alert);
  if (typeof parsed === "string") return parsed;

  return {
    backup,
    timezone: timezone ?? "UTC",
    tokenSecret: token_secret,
    rpc,
    rpcTimeoutMs: rpc_timeout_ms,
    verifyTable: verify_table ?? null,
    alert: parsed,
  };
}

function parseAlert(value: unknown): AlertConfig | null | string {
  if (value === undefined || value === null) return null;
  if (!isRecord(value)) return "alert is neither null nor an object";
  if (!matches(value.function, /^[A-Za-z][A-Za-z0-9_-]*$/)) {
    return "alert.function is not the slug of an Edge Function";
  }
  if (!matches(value.source, /\S/)) return "alert.source is empty";
  return { function: value.function, source: value.source };
}

/** Whether a value is a JSON object, and not an array or null. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a value is an integer that a double represents exactly. */
export function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function matches(value: unknown, pattern: RegExp): value is string {
  return typeof value === "string" && pattern.test(value);
}
