/** The URL of a database, and which hosts may be reached without encryption. */

import { PostgresProblem } from "./wire.ts";

/** Where a database is, and how to log in. */
export interface Target {
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** The setting "options" of the session, which some poolers need. */
  readonly options: string | null;
  /**
   * required: the connection is encrypted and the server verified. preferred: it is if the server
   * can. off: it is not. The latter two are for hosts in a private network only.
   */
  readonly encryption: "required" | "preferred" | "off";
}

/** Parameters of other clients that change nothing here. */
const IGNORED = new Set([
  "application_name",
  "connect_timeout",
  "connection_limit",
  "pgbouncer",
  "pool_mode",
  "pool_timeout",
  "prepared_statements",
  "schema",
  "statement_cache_mode",
  "supa",
]);

/**
 * Parses a URL of the form postgresql://user:password@host:port/database. The server's certificate
 * is verified also with sslmode=require. No text of the URL is in the problem: where it is
 * malformed, any part could be the password's.
 */
export function parseUrl(text: string): Target | PostgresProblem {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return invalid("it cannot be parsed");
  }
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    return invalid("it does not begin with postgresql://");
  }
  // With a / ? or # in the password, a part of it would count as the host.
  if (/@/.test(url.pathname + url.search) || url.hash !== "") {
    return invalid("it has an @ or a # after the host; in the password, encode @ : / ? # %");
  }
  let decoded: string[];
  try {
    decoded = [url.hostname, url.username, url.password, url.pathname].map(decodeURIComponent);
  } catch {
    return invalid("it has a % that does not encode a character; in the password write %25");
  }
  const [host = "", user = "", password = "", path = ""] = decoded;
  const hostname = host.replace(/^\[(.*)\]$/, "$1");
  if (!/^[\w.:-]+$/.test(hostname)) return invalid("it must name one host");
  if (user === "") return invalid("it names no user");
  if (url.port === "0") return invalid("the port is not valid");
  const database = path.replace(/^\//, "") || "postgres";
  let options: string | null = null;
  let sslmode = "";
  for (const [name, value] of url.searchParams) {
    if (name === "options") options = value;
    else if (name === "sslmode") sslmode = value;
    else if (!IGNORED.has(name)) {
      return invalid("it has a parameter that is not supported; sslmode and options are");
    }
  }
  if ([user, password, database, options ?? ""].some((part) => part.includes("\0"))) {
    return invalid("it contains a zero byte");
  }
  const encryption = encryptionFor(sslmode, hostname);
  if (encryption instanceof PostgresProblem) return encryption;
  const port = url.port === "" ? 5432 : Number(url.port);
  return { hostname, port, user, password, database, options, encryption };
}

function invalid(why: string): PostgresProblem {
  return new PostgresProblem("database_url", `the URL of the database cannot be used: ${why}`);
}

function encryptionFor(sslmode: string, host: string): Target["encryption"] | PostgresProblem {
  switch (sslmode) {
    case "require":
    case "verify-ca":
    case "verify-full":
      return "required";
    case "":
    case "prefer":
      return isPrivate(host) ? "preferred" : "required";
    case "disable":
      if (isPrivate(host)) return "off";
      return new PostgresProblem(
        "database_tls",
        "sslmode=disable is only possible in a private network, and the host is not in one",
      );
    default:
      return invalid("sslmode must be disable, prefer, require, verify-ca or verify-full");
  }
}

/** Top-level domains that are not in the public DNS. */
const PRIVATE_NAME = /\.(internal|local|localhost|lan|home\.arpa)$/i;

const PRIVATE_ADDRESS = [
  /^(10|127)\.\d+\.\d+\.\d+$/,
  /^192\.168\.\d+\.\d+$/,
  /^172\.(1[6-9]|2\d|3[01])\.\d+\.\d+$/,
  /^::1$/,
  /^f[cd][0-9a-f]{2}:/i,
  /^fe[89ab][0-9a-f]:/i,
];

/**
 * Whether a host cannot be in the internet: it is this machine, a name without a domain, such as
 * that of a container, or a private address. A name that begins with a digit could be an address.
 */
export function isPrivate(host: string): boolean {
  const name = host.replace(/\.$/, "");
  return /^[a-z_][\w-]*$/i.test(name) || PRIVATE_NAME.test(name) ||
    PRIVATE_ADDRESS.some((pattern) => pattern.test(name));
}
