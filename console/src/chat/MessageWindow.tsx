import { useEffect, useLayoutEffect, useRef, useState } from "react";

import { t } from "../i18n";
import { IconButton } from "../ui/controls";
import { around, earlier, later, NEWEST, oldest, slice, STEP, type Span } from "./messageWindow";
import type { Node } from "./tree";

const NEAR_END = 80;

export interface MessageWindow {
  /** The messages in the page, and how many there are before and after them. */
  nodes: readonly Node[];
  before: number;
  after: number;
  scroller: React.RefObject<HTMLDivElement | null>;
  atEnd: boolean;
  showEarlier: () => void;
  showLater: () => void;
  toStart: () => void;
  toEnd: () => void;
  onKeyDown: (event: React.KeyboardEvent) => void;
}

export function elementId(messageId: string): string {
  return `message-${messageId}`;
}

/** Choose the messages that are in the page. The end stays in view while an answer grows, unless the person has scrolled up. */
export function useMessageWindow(all: readonly Node[], running: boolean, target: string | undefined): MessageWindow {
  const scroller = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const [span, setSpan] = useState<Span>(NEWEST);
  const [atEnd, setAtEnd] = useState(true);
  const [goal, setGoal] = useState<"start" | "end" | { message: string } | null>(null);
  const reached = useRef<string | undefined>(undefined);
  const nodes = slice(all, span);
  const live = span.last === 0;
  const go = (to: Span, where: NonNullable<typeof goal>): void => {
    following.current = where === "end";
    setSpan(to);
    setGoal(where);
  };
  const toStart = (): void => go(oldest(all.length), "start");
  const toEnd = (): void => go(NEWEST, "end");

  useEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const onScroll = (): void => {
      const near = live && box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
      following.current = near;
      setAtEnd(near);
    };
    box.addEventListener("scroll", onScroll, { passive: true });
    return () => box.removeEventListener("scroll", onScroll);
  }, [live]);
  useEffect(() => {
    if (running) toEnd();
  }, [running]);
  const index = target === undefined ? -1 : all.findIndex((node) => node.id === target);
  useEffect(() => {
    if (index < 0 || target === undefined || reached.current === target) return;
    reached.current = target;
    go(around(index, all.length), { message: target });
  }, [target, index >= 0]);
  const last = nodes.at(-1);
  const isEmpty = last === undefined;
  useLayoutEffect(() => {
    const box = scroller.current;
    if (following.current && box) box.scrollTop = isEmpty ? 0 : box.scrollHeight; // the welcome begins at its top
  }, [last?.id, last?.content, last?.status]);
  useEffect(() => {
    const box = scroller.current;
    if (isEmpty || !box?.firstElementChild) return;
    // An answer also grows without more text: when it is laid out, before which `content-visibility` assumes its height,
    // and when the code that shows Markdown has been loaded.
    const observer = new ResizeObserver(() => {
      if (following.current) box.scrollTop = box.scrollHeight;
    });
    observer.observe(box.firstElementChild);
    return () => observer.disconnect();
  }, [isEmpty]);
  useLayoutEffect(() => {
    const box = scroller.current;
    if (goal === null || !box) return;
    if (goal === "start") box.scrollTop = 0;
    else if (goal === "end") box.scrollTop = box.scrollHeight;
    else {
      const found = document.getElementById(elementId(goal.message));
      found?.scrollIntoView({ block: "center" });
      found?.focus({ preventScroll: true });
    }
    setGoal(null);
  }, [goal]);

  const onKeyDown = (event: React.KeyboardEvent): void => {
    if (event.target !== event.currentTarget || (event.key !== "Home" && event.key !== "End")) return;
    event.preventDefault();
    if (event.key === "Home") toStart();
    else toEnd();
  };
  return {
    nodes,
    before: Math.max(0, all.length - span.first),
    after: Math.min(span.last, all.length),
    scroller,
    atEnd,
    showEarlier: () => setSpan((now) => earlier(now, all.length)),
    showLater: () => setSpan(later),
    toStart,
    toEnd,
    onKeyDown,
  };
}

/** Asks for more messages shortly before the person reaches the first or the last one in the page. */
export function Edge({ onReach }: { onReach: () => void }): React.JSX.Element {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && onReach(), { rootMargin: "600px 0px" });
    observer.observe(ref.current!);
    return () => observer.disconnect();
  }, []);
  return <div ref={ref} className="earlier" />;
}

/** Ways to the ends of a long conversation. */
export function Jumps({ view, total }: { view: MessageWindow; total: number }): React.JSX.Element | null {
  if (total <= STEP && view.atEnd) return null;
  return (
    <div className="jumps">
      {total > STEP && <IconButton icon="first" label={t("chat.toStart")} onClick={view.toStart} />}
      {!(view.atEnd && view.after === 0) && <IconButton icon="last" label={t("chat.toEnd")} onClick={view.toEnd} />}
    </div>
  );
}
