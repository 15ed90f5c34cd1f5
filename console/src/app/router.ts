import { Store, useStore } from "./store";

/** The place of the page in the app: the segments after `#/`. */
const place = new Store<readonly string[]>(read());

window.addEventListener("hashchange", () => place.set(read()));

export function usePlace(): readonly string[] {
  return useStore(place);
}

export function go(...segments: string[]): void {
  location.hash = href(...segments);
}

/** Change the place without a new entry in the history. */
export function replacePlace(...segments: string[]): void {
  history.replaceState(null, "", href(...segments));
  place.set(read());
}

export function href(...segments: string[]): string {
  return `#/${segments.map(encodeURIComponent).join("/")}`;
}

function read(): readonly string[] {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return [];
  }
}
