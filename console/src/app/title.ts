import { useEffect } from "react";

/** Name the page in the title of the window, for tabs, bookmarks and screen readers. */
export function useTitle(page: string): void {
  useEffect(() => {
    document.title = `${page} · Parley`;
  }, [page]);
}
