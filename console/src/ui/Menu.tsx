import { useEffect, useRef, useState, type ReactNode } from "react";
import { flushSync } from "react-dom";

import { Icon, type IconName } from "./Icon";

export interface MenuItem {
  icon: IconName;
  label: string;
  run: () => void;
  bad?: boolean;
}

/** What decides whether a list fits below its button. */
const ITEM_HEIGHT = 40;
const MARGIN = 24;

/** A button that opens a list of actions. */
export function Menu(props: { label: string; items: readonly MenuItem[]; children?: ReactNode; className?: string; up?: boolean }): React.JSX.Element {
  const [open, setOpen] = useState(false);
  const [above, setAbove] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    root.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const close = (event: MouseEvent): void => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("mousedown", close);
    return () => document.removeEventListener("mousedown", close);
  }, [open]);
  /** Close the list; its button has the focus again. */
  const close = (): void => {
    flushSync(() => setOpen(false));
    root.current?.querySelector<HTMLElement>("button")?.focus();
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.key === "Escape" && open) {
      event.stopPropagation(); // what holds the menu stays open
      close();
    }
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    event.preventDefault();
    const items = [...(root.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const step = event.key === "ArrowDown" ? 1 : -1;
    const at = items.indexOf(document.activeElement as HTMLElement);
    items[(at + step + items.length) % items.length]?.focus();
  };
  return (
    <div className={`menu ${props.className ?? ""}`} ref={root} onKeyDown={onKeyDown}>
      <button
        type="button"
        className={props.children ? "menu-button" : "icon-button"}
        aria-label={props.children ? undefined : props.label}
        aria-haspopup="menu"
        aria-expanded={open}
        onClick={(event) => {
          const { bottom, top } = event.currentTarget.getBoundingClientRect();
          const height = props.items.length * ITEM_HEIGHT + MARGIN;
          setAbove(innerHeight - bottom < height && top > height);
          setOpen(!open);
        }}
      >
        {props.children ?? <Icon name="more" />}
      </button>
      {open && (
        <div role="menu" aria-label={props.label} className={props.up ? "menu-list up" : above ? "menu-list above" : "menu-list"}>
          {props.items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              className={item.bad ? "bad" : undefined}
              onClick={() => {
                close();
                item.run();
              }}
            >
              <Icon name={item.icon} size={16} />
              {item.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
