import { useCallback, useEffect, useState } from "react";

import { notifyError } from "./feedback";

/** Read something when a component appears or `keys` change. */
export function useLoaded<T>(read: () => Promise<T>, keys: readonly unknown[] = []): [value: T | null, again: () => void] {
  const [value, setValue] = useState<T | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let current = true;
    read().then(
      (found) => current && setValue(() => found),
      (error: unknown) => current && notifyError(error),
    );
    return () => {
      current = false;
    };
  }, [...keys, round]);
  return [value, useCallback(() => setRound((before) => before + 1), [])];
}

interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

/** Read a list page by page. */
export function usePages<T>(read: (cursor: string | undefined) => Promise<Page<T>>, keys: readonly unknown[] = []): {
  items: readonly T[] | null;
  more: (() => void) | null;
  again: () => void;
} {
  const [page, setPage] = useState<Page<T> | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let current = true;
    read(undefined).then(
      (found) => current && setPage(found),
      (error: unknown) => current && notifyError(error),
    );
    return () => {
      current = false;
    };
  }, [...keys, round]);
  const cursor = page?.next_cursor;
  const more = (): void => {
    read(cursor ?? undefined).then(
      (found) =>
        setPage((before) => (before?.next_cursor === cursor ? { data: [...(before?.data ?? []), ...found.data], next_cursor: found.next_cursor } : before)),
      notifyError,
    );
  };
  return { items: page?.data ?? null, more: cursor ? more : null, again: useCallback(() => setRound((before) => before + 1), []) };
}
