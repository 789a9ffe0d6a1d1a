/**
 * Makes foreign text fit to be stored and sent. Everybody can read system_logs, and the alert
 * function puts its message into HTML as it stands.
 */

import contract from "./contract.json" with { type: "json" };

/** Turns any text or thrown value into one clean line. */
export type Clean = (text: unknown) => string;

const REMOVED = "[removido]";

/** What looks like a credential, whatever it belongs to. Each pattern keeps its group, if any. */
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
 * Random text of the length of a token or a digest. Long names of constraints and identifiers in
 * the form of a UUID (36 characters) are no such text.
 */
const RANDOM = /(?<![\w-])(?=[\w-]*[A-Z0-9])[\w-]{40,}(?![\w-])/g;

/**
 * Makes a cleaner: the first line of a text without credentials, URL queries and control
 * characters, at most limits.error_chars characters long.
 *
 * @param secrets values that are removed wherever they stand
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

/** Cuts a text to the length of an error text, at a character's boundary. */
export function clip(text: string, limit: number = contract.limits.error_chars): string {
  const characters = [...text];
  if (characters.length <= limit) return text;
  return characters.slice(0, limit - 1).join("").trimEnd() + "…";
}

/** Replaces the characters that would end plain text inside HTML. */
export function plainText(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ")
    .replaceAll("<", "‹").replaceAll(">", "›").replaceAll("&", "＆");
}

/** The innermost message: fetch keeps the reason of "fetch failed" in the cause. */
function messageOf(value: unknown): string {
  if (!(value instanceof Error)) {
    return typeof value === "string" ? value : JSON.stringify(value) ?? "";
  }
  return value.cause instanceof Error ? messageOf(value.cause) : value.message || value.name;
}

function firstLine(text: string): string {
  // Nothing behind the first few thousand characters can reach the result.
  const line =
    text.slice(0, 4096).split(/[\r\n\u2028\u2029]+/).find((part) => part.trim() !== "") ?? "";
  return line.replace(/\p{Cc}+/gu, " ").replace(/\s+/g, " ").trim();
}
