import { useCallback, useEffect, useState } from "react";

import { t } from "../i18n";
import { Loading } from "../ui/controls";
import { describe, notifyError } from "./feedback";

/** Whether something could be read: why not, and how to try again. */
export interface Reading {
  error: string | null;
  again: () => void;
}

/** What stands in the place of something that is not read yet, or that could not be read. */
export function Unread({ error, again }: Reading): React.JSX.Element {
  if (error === null) return <Loading />;
  return (
    <div className="unread" role="alert">
      <p>{error}</p>
      <button type="button" className="button small" onClick={again}>
        {t("action.retry")}
      </button>
    </div>
  );
}

/** Read something when a component appears or `keys` change. */
export function useLoaded<T>(read: () => Promise<T>, keys: readonly unknown[] = []): [value: T | null, reading: Reading] {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let current = true;
    setError(null);
    read().then(
      (found) => current && setValue(() => found),
      (reason: unknown) => {
        if (!current) return;
        setError(describe(reason));
        if (value !== null) notifyError(reason); // the old value stays in view
      },
    );
    return () => {
      current = false;
    };
  }, [...keys, round]);
  return [value, { error, again: useCallback(() => setRound((before) => before + 1), []) }];
}

interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

/** A list of the server, as far as it is read. */
export interface Pages<T> extends Reading {
  items: readonly T[] | null;
  more: (() => void) | null;
}

/** The part of a query that chooses a page; the first page has no cursor. */
interface PageQuery {
  cursor?: string;
}

/** Read a list page by page. */
export function usePages<T>(read: (page: PageQuery) => Promise<Page<T>>, keys: readonly unknown[] = []): Pages<T> {
  const [page, reading] = useLoaded(() => read({}), keys);
  /** What follows a first page; it is dropped with that page. */
  const [rest, setRest] = useState<(Page<T> & { first: Page<T> }) | null>(null);
  const following = rest?.first === page ? rest : null;
  const cursor = (following ?? page)?.next_cursor;
  const more = (): void => {
    if (page === null) return;
    read(cursor ? { cursor } : {}).then(
      (found) =>
        setRest((before) => {
          const known = before?.first === page ? before : null;
          if ((known ?? page).next_cursor !== cursor) return before;
          return { first: page, data: [...(known?.data ?? []), ...found.data], next_cursor: found.next_cursor };
        }),
      notifyError,
    );
  };
  return { items: page && [...page.data, ...(following?.data ?? [])], more: cursor ? more : null, ...reading };
}

/** The button for the next page of a list, while there is one. */
export function More({ pages }: { pages: Pages<unknown> }): React.JSX.Element | null {
  if (pages.more === null) return null;
  return (
    <button type="button" className="button more" onClick={pages.more}>
      {t("action.more")}
    </button>
  );
}
