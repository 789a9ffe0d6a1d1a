/**
 * Prepares text from elsewhere for logs and e-mails. Everybody can read system_logs, and the alert
 * function copies its message into HTML unchanged.
 */

import contract from "./contract.json" with { type: "json" };

/** Turns any text or thrown value into one clean line. */
export type Clean = (text: unknown) => string;

const REMOVED = "[removido]";

/** How many characters of a text are looked at. */
const LONGEST = 4096;

/** What Unicode calls white space. */
const WHITE_SPACE = /[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

/** Texts that look like credentials. Each pattern keeps its group, if it has one. */
const CREDENTIALS: readonly RegExp[] = [
  /\b(Bearer|Basic)\s+[^\s"',;]+/gi,
  /\beyJ[\w-]+(?:\.[\w-]*)*/g,
  /\bsb_(?:secret|publishable)_[\w-]+/g,
  /\bre_[A-Za-z0-9]+_[A-Za-z0-9]{8,}/g,
  /\b((?:api_?key|password|passwd|pwd|secret|token|authorization)["']?\s*[=:]\s*)["']?[^\s"',;&)]+["']?/gi,
];

const URL_CREDENTIALS = /\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@]*@/gi;
const URL_QUERY = /\b([a-z][a-z0-9+.-]*:\/\/[^\s?#"'<>)]*)[?#][^\s"'<>)]*/gi;

/**
 * Random text with the length of a token or a digest. It does not match long names of constraints
 * or UUIDs (36 characters).
 */
const RANDOM = /(?<![\w-])(?=[\w-]*[A-Z0-9])[\w-]{40,}(?![\w-])/g;

/**
 * Returns a function that reduces a text to its first line, without credentials, URL queries and
 * what is not shown, and to at most limits.error_chars characters.
 *
 * @param secrets values to remove wherever they occur
 */
export function createCleaner(secrets: readonly string[]): Clean {
  const known = secrets.filter((secret) => secret.trim() !== "");
  return (value) => {
    let text = firstLine(messageOf(value));
    for (const secret of known) text = text.replaceAll(secret.trim(), REMOVED);
    text = text.replace(URL_CREDENTIALS, "$1").replace(URL_QUERY, "$1");
    for (const pattern of CREDENTIALS) {
      text = text.replace(
        pattern,
        (_, kept: unknown) => typeof kept === "string" ? `${kept.trim()} ${REMOVED}` : REMOVED,
      );
    }
    return clip(text.replace(RANDOM, REMOVED));
  };
}

/** Truncates a text to the length of an error text, in characters. */
export function clip(text: string, limit: number = contract.limits.error_chars): string {
  const characters = [...text];
  if (characters.length <= limit) return text;
  return characters.slice(0, limit - 1).join("").trimEnd() + "…";
}

/** Turns a text into one line of plain text, without characters that have a meaning in HTML. */
export function plainText(text: string): string {
  return line(text).replaceAll("<", "‹").replaceAll(">", "›").replaceAll("&", "＆");
}

/**
 * Turns a text into one line: any white space becomes one space, and what is not shown is removed,
 * that is control characters, invisible ones, those that change the direction of writing, private
 * ones and halves of characters. The SQL function auto_backup.plain and the provider have the same
 * rule; testdata/lines.json of package text shows it.
 */
export function line(text: string): string {
  return text.replace(WHITE_SPACE, " ").replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]+/gu, "")
    .replace(/ +/g, " ").trim();
}

/** The innermost message: fetch has the reason of "fetch failed" in the cause. */
function messageOf(value: unknown): string {
  if (!(value instanceof Error)) {
    return typeof value === "string" ? value : JSON.stringify(value) ?? "";
  }
  return value.cause instanceof Error ? messageOf(value.cause) : value.message || value.name;
}

function firstLine(text: string): string {
  // Only the first few thousand characters can reach the result. A word that is cut there may be a
  // part of a secret that nothing would recognize.
  const head = text.length > LONGEST ? /^[^]*\s/.exec(text.slice(0, LONGEST))?.[0] ?? "" : text;
  return line(head.split(/[\r\n\u2028\u2029]+/).find((part) => line(part) !== "") ?? "");
}
