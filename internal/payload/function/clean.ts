/**
 * Prepares text from elsewhere for logs and e-mails. Everybody can read system_logs, and the alert
 * function copies its message into HTML unchanged.
 */

import contract from "./contract.json" with { type: "json" };

/** Turns any text or thrown value into one clean line. */
export type Clean = (text: unknown) => string;

const REMOVED = "[removido]";

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
 * control characters, and to at most limits.error_chars characters.
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

/** Replaces the characters that have a meaning in HTML. */
export function plainText(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ")
    .replaceAll("<", "‹").replaceAll(">", "›").replaceAll("&", "＆");
}

/** The innermost message: fetch has the reason of "fetch failed" in the cause. */
function messageOf(value: unknown): string {
  if (!(value instanceof Error)) {
    return typeof value === "string" ? value : JSON.stringify(value) ?? "";
  }
  return value.cause instanceof Error ? messageOf(value.cause) : value.message || value.name;
}

function firstLine(text: string): string {
  // Only the first few thousand characters can reach the result.
  const line =
    text.slice(0, 4096).split(/[\r\n\u2028\u2029]+/).find((part) => part.trim() !== "") ?? "";
  return line.replace(/\p{Cc}+/gu, " ").replace(/\s+/g, " ").trim();
}
