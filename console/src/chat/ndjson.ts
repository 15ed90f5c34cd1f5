/** Whether a text is NDJSON: its first line that is not blank is a whole JSON object, and another line follows. */
export function isNdjson(text: string): boolean {
  const [, first, rest] = /^\uFEFF?\s*([^\n]*)([^]*)$/.exec(text)!;
  return first!.startsWith("{") && rest!.trim() !== "" && isJson(first!);
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
