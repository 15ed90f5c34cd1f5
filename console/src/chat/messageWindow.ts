/** The part of a conversation that is in the page: at most MOST messages, however long the conversation is. */

/** Messages are counted from the end, because earlier ones are read while the page shows later ones. */
export interface Span {
  /** Messages from the first one in the page to the end. */
  first: number;
  /** Messages behind the last one in the page. */
  last: number;
}

/** Messages that are in the page at first, and that each scroll to its edge adds. */
export const STEP = 60;
const MOST = 180;

export const NEWEST: Span = { first: STEP, last: 0 };

export function oldest(total: number): Span {
  return { first: total, last: Math.max(0, total - STEP) };
}

/** The span with a message of the index `index` in its middle. */
export function around(index: number, total: number): Span {
  const last = Math.max(0, total - index - STEP / 2);
  return { first: Math.min(total, Math.max(last + STEP, total - index + STEP / 2)), last };
}

export function earlier({ first, last }: Span, total: number): Span {
  const more = Math.min(total, first + STEP);
  return { first: more, last: Math.max(last, more - MOST) };
}

export function later({ first, last }: Span): Span {
  const less = Math.max(0, last - STEP);
  return { first: Math.min(first, less + MOST), last: less };
}

export function slice<T>(all: readonly T[], { first, last }: Span): T[] {
  return all.slice(Math.max(0, all.length - first), all.length - last);
}
