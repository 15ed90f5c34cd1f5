import { lazy, memo, Suspense, useRef, useState } from "react";
import { flushSync } from "react-dom";

import { MessageFiles } from "../files/MessageFiles";
import { t } from "../i18n";
import { count, money, moment } from "../i18n/format";
import { Copy, IconButton } from "../ui/controls";
import { Icon } from "../ui/Icon";
import { focusOnce } from "../ui/keepFocus";
import { ending } from "./ending";
import { elementId } from "./MessageWindow";
import type { Node } from "./tree";

/** A server that was replaced may not have the file any more. */
const Markdown = lazy(() => import("./Markdown").catch(() => ({ default: memo(Plain) })));

interface Actions {
  onEdit: (node: Node, text: string) => void;
  onRegenerate: (node: Node) => void;
  onShow: (node: Node, step: number) => void;
}

/** One message with its actions: the one of `number` in the conversation, and of `place` among `places` siblings. */
export const MessageView = memo(function MessageView(
  props: { node: Node; files: readonly string[] | undefined; number: number; total: number; found: boolean; place: number; places: number; busy: boolean; streaming: boolean } & Actions,
): React.JSX.Element {
  const { node, streaming } = props;
  const [editing, setEditing] = useState(false);
  const article = useRef<HTMLElement>(null);
  const edit = useRef<HTMLButtonElement>(null);
  const mine = node.role === "user";
  const stopEditing = (): void => {
    flushSync(() => setEditing(false));
    edit.current?.focus();
  };
  return (
    <article
      ref={article}
      id={elementId(node.id)}
      className={`message ${node.role}${props.found ? " found" : ""}`}
      aria-label={t(mine ? "chat.you" : "chat.assistant")}
      aria-posinset={props.number}
      aria-setsize={props.total}
      tabIndex={props.found ? -1 : undefined}
    >
      {editing ? (
        <Editor
          text={node.content}
          onCancel={stopEditing}
          onSave={(text) => {
            stopEditing();
            props.onEdit(node, text);
          }}
        />
      ) : (
        <>
          {props.files?.length ? <MessageFiles ids={props.files} /> : null}
          <div className="message-content">
            {mine ? <Plain text={node.content} /> : <Answer node={node} streaming={streaming} />}
          </div>
          {!streaming && (
            <footer>
              {props.places > 1 && (
                <span className="branches">
                  <IconButton icon="left" size={14} label={t("chat.previous")} disabled={props.place === 1} onClick={() => props.onShow(node, -1)} />
                  <span aria-label={t("chat.version", { place: props.place, places: props.places })}>
                    {props.place}/{props.places}
                  </span>
                  <IconButton icon="right" size={14} label={t("chat.next")} disabled={props.place === props.places} onClick={() => props.onShow(node, 1)} />
                </span>
              )}
              <span className="actions">
                <Copy text={node.content} label={t("action.copy")} />
                {mine && <IconButton ref={edit} icon="edit" size={16} label={t("chat.edit")} disabled={props.busy} onClick={() => setEditing(true)} />}
                {!mine && (
                  <IconButton
                    icon="refresh"
                    size={16}
                    label={t("chat.regenerate")}
                    disabled={props.busy}
                    onClick={() => {
                      focusOnce(article.current!); // the button is not there while the answer is written
                      props.onRegenerate(node);
                    }}
                  />
                )}
              </span>
              {!mine && <Facts node={node} />}
            </footer>
          )}
        </>
      )}
    </article>
  );
});

function Answer({ node, streaming }: { node: Node; streaming: boolean }): React.JSX.Element {
  return (
    <>
      {node.content ? (
        <Suspense fallback={<Plain text={node.content} />}>
          <Markdown text={node.content} />
        </Suspense>
      ) : (
        streaming && (
          <span className="thinking" role="status" aria-label={t("chat.thinking")}>
            <i />
            <i />
            <i />
          </span>
        )
      )}
      <Ending node={node} />
    </>
  );
}

function Plain({ text }: { text: string }): React.JSX.Element {
  return <p className="plain" dir="auto">{text}</p>;
}

/** How the answer ended, unless it simply ended. */
function Ending({ node }: { node: Node }): React.JSX.Element | null {
  const reason = ending(node);
  if (!reason) return null;
  return (
    <p className="ending">
      <Icon name="warning" size={15} />
      {reason}
    </p>
  );
}

/** Model, tokens and cost of the turn. */
function Facts({ node }: { node: Node }): React.JSX.Element {
  const { usage } = node;
  return (
    <span className="facts">
      {node.model && <span>{node.model}</span>}
      {usage && (
        <span title={t("chat.tokensDetail", { prompt: count(usage.prompt_tokens), completion: count(usage.completion_tokens) })}>
          {usage.estimated ? "≈ " : ""}
          {t("chat.tokens", { tokens: count(usage.total_tokens) })}
        </span>
      )}
      {usage && <span>{money(node.cost)}</span>}
      <time dateTime={node.createdAt}>{moment(node.createdAt)}</time>
    </span>
  );
}

function Editor(props: { text: string; onSave: (text: string) => void; onCancel: () => void }): React.JSX.Element {
  const [text, setText] = useState(props.text);
  return (
    <div className="editor">
      <textarea
        dir="auto"
        value={text}
        aria-label={t("chat.edit")}
        autoFocus
        rows={Math.min(12, text.split("\n").length + 1)}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.nativeEvent.isComposing) return; // the key belongs to the input method
          if (event.key === "Escape") props.onCancel();
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && text.trim()) props.onSave(text);
        }}
      />
      <div className="row end">
        <button type="button" className="button" onClick={props.onCancel}>
          {t("action.cancel")}
        </button>
        <button type="button" className="button primary" disabled={!text.trim()} onClick={() => props.onSave(text)}>
          {t("chat.send")}
        </button>
      </div>
    </div>
  );
}
