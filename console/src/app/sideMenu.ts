import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";

/** The width up to which the sidebar is a menu over the content, as in the style sheet. */
const NARROW = "(max-width: 800px)";

/** The sidebar of a narrow screen: open or not, with the focus in it while it is open. */
export function useSideMenu(place: readonly string[]): {
  open: boolean;
  show: () => void;
  close: () => void;
  root: React.RefObject<HTMLDivElement | null>;
  button: React.RefObject<HTMLButtonElement | null>;
  onKeyDown: (event: React.KeyboardEvent) => void;
} {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = useCallback(() => setOpen(false), []);
  useEffect(close, [place]);
  useLayoutEffect(() => {
    if (!open) return;
    root.current?.querySelector<HTMLElement>(".sidebar a")?.focus();
    const wide = matchMedia(NARROW);
    wide.addEventListener("change", close); // the content is `inert` while the menu is open
    return () => {
      wide.removeEventListener("change", close);
      // The focus is in the menu, which is hidden now, unless a view has taken it.
      if (!document.activeElement?.closest("main")) button.current?.focus();
    };
  }, [open]);
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (!open || event.key !== "Escape" || event.nativeEvent.isComposing) return;
    if (event.target instanceof HTMLInputElement && event.target.value) return; // empties the search
    event.stopPropagation();
    close();
  };
  return { open, show: () => setOpen(true), close, root, button, onKeyDown };
}
