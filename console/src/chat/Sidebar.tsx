import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useMemo, useRef, useState } from "react";

import type { Conversation, SearchHit } from "@parley/client";

import { api, logOut, viewer } from "../app/client";
import { describe, notifyError } from "../app/feedback";
import { Unread } from "../app/loading";
import { go, href, usePlace } from "../app/router";
import { useStore } from "../app/store";
import { t } from "../i18n";
import { period } from "../i18n/format";
import { IconButton } from "../ui/controls";
import { Icon } from "../ui/Icon";
import { Menu } from "../ui/Menu";
import { change, finishRemovals, list, more, refresh, remove, showArchived } from "./conversations";
import { exportConversation, importConversations } from "./transfer";

/** Heights before they are measured. */
const HEADING_HEIGHT = 34;
const ROW_HEIGHT = 35;
/** Rows before the end of what is read at which the next page is asked for. */
const AHEAD = 30;

export function Sidebar({ onNavigate }: { onNavigate: () => void }): React.JSX.Element {
  const [query, setQuery] = useState("");
  const { archived } = useStore(list);
  return (
    <nav className="sidebar" aria-label={t("chat.conversations")}>
      <div className="sidebar-head">
        <a className="brand" href={href()} onClick={onNavigate}>
          <span className="brand-mark" aria-hidden="true" />
          Parley
        </a>
        <Menu
          label={t("chat.listActions")}
          items={[
            { icon: "archive", label: t(archived ? "chat.showActive" : "chat.showArchived"), run: () => showArchived(!archived) },
            { icon: "upload", label: t("chat.import"), run: () => void importConversations().then(refresh) },
          ]}
        />
      </div>
      <a className="button new" href={href()} onClick={onNavigate}>
        <Icon name="plus" size={16} />
        {t("chat.new")}
      </a>
      <div className="search">
        <Icon name="search" size={16} />
        <input type="search" value={query} placeholder={t("chat.search")} aria-label={t("chat.search")} onChange={(event) => setQuery(event.target.value)} />
      </div>
      {query.trim() ? <SearchResults query={query.trim()} onNavigate={onNavigate} /> : <Conversations onNavigate={onNavigate} />}
      <Profile />
    </nav>
  );
}

function Conversations({ onNavigate }: { onNavigate: () => void }): React.JSX.Element {
  const { items, cursor, loading, failed, archived } = useStore(list);
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => rowsOf(items, archived), [items, archived]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (typeof rows[index] === "string" ? HEADING_HEIGHT : ROW_HEIGHT),
    getItemKey: (index) => keyOf(rows[index]!),
    overscan: 10,
  });
  const shown = virtual.getVirtualItems();
  const last = shown.at(-1);
  const nearEnd = cursor !== null && !loading && !failed && (last?.index ?? 0) >= rows.length - AHEAD;
  useEffect(() => {
    if (nearEnd) void more();
  }, [nearEnd, rows.length]);
  return (
    <div className="conversations" ref={scroller} tabIndex={0} role="region" aria-label={t("chat.conversations")}>
      {!loading && !failed && items.length === 0 && <p className="quiet">{t(archived ? "chat.noneArchived" : "chat.none")}</p>}
      <div style={{ height: shown[0]?.start ?? 0 }} />
      {shown.map(({ index, key }) => {
        const row = rows[index]!;
        return (
          <div key={key} data-index={index} ref={virtual.measureElement}>
            {typeof row === "string" ? <h2>{row}</h2> : <Item conversation={row} onNavigate={onNavigate} />}
          </div>
        );
      })}
      <div style={{ height: last ? virtual.getTotalSize() - last.end : 0 }} />
      {(loading || failed) && (
        <div className="list-end">
          {loading && <span className="spinner" aria-hidden="true" />}
          {failed && (
            <button type="button" className="text-button" onClick={() => void (cursor === null ? refresh() : more())}>
              {t("action.retry")}
            </button>
          )}
        </div>
      )}
    </div>
  );
}

/** The conversations with the headings between them. Only those near the view are in the page. */
function rowsOf(items: readonly Conversation[], archived: boolean): (Conversation | string)[] {
  if (archived) return items.length ? [t("chat.archived"), ...items] : [];
  const rows: (Conversation | string)[] = [];
  let heading = "";
  for (const each of items) {
    const now = period(each.updated_at);
    if (now !== heading) rows.push(now);
    heading = now;
    rows.push(each);
  }
  return rows;
}

function keyOf(row: Conversation | string): string {
  return typeof row === "string" ? row : row.id;
}

const Item = memo(function Item({ conversation, onNavigate }: { conversation: Conversation; onNavigate: () => void }): React.JSX.Element {
  const [renaming, setRenaming] = useState(false);
  const place = usePlace();
  const current = place[0] === "c" && place[1] === conversation.id;
  const title = conversation.title ?? t("chat.untitled");
  if (renaming) {
    return (
      <Rename
        title={title}
        onDone={(changed) => {
          setRenaming(false);
          if (changed && changed !== conversation.title) void change(conversation, { title: changed });
        }}
      />
    );
  }
  return (
    <div className={current ? "conversation current" : "conversation"}>
      <a href={href("c", conversation.id)} dir="auto" aria-current={current ? "page" : undefined} onClick={onNavigate} title={title}>
        {title}
      </a>
      {conversation.running_turn_id && <span className="live" title={t("chat.answering")} />}
      <Menu
        label={t("chat.actionsOf", { title })}
        items={[
          { icon: "edit", label: t("action.rename"), run: () => setRenaming(true) },
          {
            icon: "archive",
            label: t(conversation.archived ? "chat.unarchive" : "chat.archive"),
            run: () => void change(conversation, { archived: !conversation.archived }),
          },
          { icon: "download", label: t("chat.exportMarkdown"), run: () => void exportConversation(conversation, "markdown") },
          { icon: "download", label: t("chat.exportJson"), run: () => void exportConversation(conversation, "json") },
          {
            icon: "trash",
            label: t("action.delete"),
            bad: true,
            run: () => {
              remove(conversation);
              if (current) go();
            },
          },
        ]}
      />
    </div>
  );
});

function Rename({ title, onDone }: { title: string; onDone: (title: string | null) => void }): React.JSX.Element {
  const [text, setText] = useState(title);
  return (
    <input
      className="rename"
      dir="auto"
      value={text}
      autoFocus
      maxLength={200}
      aria-label={t("action.rename")}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setText(event.target.value)}
      onBlur={() => onDone(text.trim())}
      onKeyDown={(event) => {
        if (event.nativeEvent.isComposing) return; // the key belongs to the input method
        if (event.key === "Enter") onDone(text.trim());
        if (event.key !== "Escape") return;
        event.stopPropagation(); // the menu around it stays open
        onDone(null);
      }}
    />
  );
}

function SearchResults({ query, onNavigate }: { query: string; onNavigate: () => void }): React.JSX.Element {
  const [hits, setHits] = useState<readonly SearchHit[] | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    setError(null);
    const fail = (reason: unknown): void => {
      setHits(null); // those of another query
      setError(describe(reason));
    };
    const timer = setTimeout(() => {
      api
        .GET("/api/v1/search", { params: { query: { q: query.slice(0, 200), limit: 30 } }, signal: stop.signal })
        .then(({ data }) => setHits(data!.data))
        .catch((reason: unknown) => !stop.signal.aborted && fail(reason));
    }, 200);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [query, round]);
  return (
    <div className="conversations" tabIndex={0} role="region" aria-label={t("chat.searchResults")}>
      {hits?.length === 0 && <p className="quiet">{t("chat.noHits", { query })}</p>}
      {hits?.map((hit) => (
        <a key={hit.message_id} className="hit" href={href("c", hit.conversation_id, hit.message_id)} onClick={onNavigate}>
          <strong dir="auto">{hit.conversation_title ?? t("chat.untitled")}</strong>
          <span dir="auto">{hit.snippet.map((part, index) => (part.match ? <mark key={index}>{part.text}</mark> : <span key={index}>{part.text}</span>))}</span>
        </a>
      ))}
      {hits === null && <Unread error={error} again={() => setRound(round + 1)} />}
    </div>
  );
}

function Profile(): React.JSX.Element | null {
  const found = useStore(viewer);
  if (found.state !== "in") return null;
  const { user, scopes } = found;
  return (
    <div className="sidebar-foot">
      <Menu
        up
        label={t("account.menu")}
        items={[
          { icon: "user", label: t("account.title"), run: () => go("account") },
          ...(scopes.has("admin") ? [{ icon: "shield" as const, label: t("operator.title"), run: () => go("operator") }] : []),
          { icon: "book", label: t("nav.docs"), run: () => void window.open("/docs", "_blank", "noopener") },
          { icon: "logout", label: t("auth.logOut"), run: () => void finishRemovals().then(logOut).catch(notifyError) },
        ]}
      >
        <span className="avatar" aria-hidden="true">
          {(user.display_name ?? user.username).slice(0, 1).toUpperCase()}
        </span>
        <span className="who">{user.display_name ?? user.username}</span>
      </Menu>
      <IconButton icon="sliders" label={t("account.preferences")} onClick={() => go("account", "preferences")} />
    </div>
  );
}
