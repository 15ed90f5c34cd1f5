import { useCallback, useEffect, useRef, useState } from "react";

import type { Model, StoredFile } from "@parley/client";

import { api, viewer } from "../app/client";
import { NEW_CONVERSATION } from "../app/drafts";
import { notifyError } from "../app/feedback";
import { go, replacePlace } from "../app/router";
import { useStore } from "../app/store";
import { useTitle } from "../app/title";
import { t } from "../i18n";
import { Loading } from "../ui/controls";
import { Icon } from "../ui/Icon";
import { Composer } from "./Composer";
import { list } from "./conversations";
import { outcome } from "./ending";
import { Edge, Jumps, useMessageWindow } from "./MessageWindow";
import { MessageView } from "./MessageView";
import type { Thread } from "./thread";
import { shown, type TurnSettings } from "./threadState";
import { siblings, type Node } from "./tree";

const DEFAULTS: TurnSettings = { model: null, systemPrompt: null, temperature: null };
/** Places where Escape ends something else than the answer. */
const OWN_ESCAPE = ".sidebar, .scrim, .editor";
const choices = new Map<string, TurnSettings>();

/** `target`: the message to show first. */
export function ThreadView({ thread, isNew, target }: { thread: Thread; isNew: boolean; target: string | undefined }): React.JSX.Element {
  const state = useStore(thread.state);
  const [settings, setSettings] = useState(() => choices.get(thread.id) ?? DEFAULTS);
  const models = useModels();
  const all = shown(state);
  const running = state.running !== null;
  /** Whether a turn has run in this view: an older conversation has no news. */
  const ran = useRef(false);
  ran.current ||= running;
  const targetRead = target !== undefined && state.tree.has(target);
  useEffect(() => {
    if (targetRead) thread.reveal(target);
  }, [target, targetRead]);
  const view = useMessageWindow(all, running, target);
  const { nodes } = view;
  const title = useStore(list).items.find((each) => each.id === thread.id)?.title ?? t("chat.untitled");
  useTitle(state.missing ? t("chat.missing") : isNew ? t("chat.new") : title);
  const choose = (chosen: TurnSettings): void => {
    choices.set(thread.id, chosen);
    setSettings(chosen);
  };
  const send = (text: string, files: readonly StoredFile[] = []): void => {
    if (isNew) {
      choices.set(thread.id, settings);
      replacePlace("c", thread.id);
    }
    void thread.send({ text, files }, settings);
  };
  const onEdit = useCallback((node: Node, text: string) => void thread.edit(node, text, settings), [thread, settings]);
  const onRegenerate = useCallback((node: Node) => void thread.regenerate(node, settings), [thread, settings]);
  const onShow = useCallback((node: Node, step: number) => thread.show(node, step), [thread]);
  useEscape(running, () => void thread.stop());

  if (state.missing) return <Missing />;
  return (
    <>
      <div className="thread" ref={view.scroller} tabIndex={0} role="region" aria-label={t("chat.messages")} onKeyDown={view.onKeyDown}>
        <div className="thread-inner">
          {nodes.length > 0 && <h1 className="visually-hidden">{title}</h1>}
          {view.before > 0 && <Edge key={`before-${view.before}`} onReach={view.showEarlier} />}
          {state.loading && <Loading />}
          {state.failed && <Failed onRetry={() => void thread.load()} />}
          {!state.loading && !state.failed && nodes.length === 0 && <Welcome onPick={send} />}
          {nodes.map((node, index) => {
            const places = siblings(state.tree, node);
            const place = places.findIndex((each) => each.id === node.id) + 1;
            return (
              <MessageView
                key={`${node.role}-${node.parentId}`}
                node={node}
                files={state.files.get(node.id)}
                number={view.before + index + 1}
                total={all.length}
                found={node.id === target}
                place={place}
                places={places.length}
                busy={running}
                streaming={node.role === "assistant" && node.status === "running"}
                onEdit={onEdit}
                onRegenerate={onRegenerate}
                onShow={onShow}
              />
            );
          })}
          {view.after > 0 && <Edge key={`after-${view.after}`} onReach={view.showLater} />}
        </div>
      </div>
      <Jumps view={view} total={all.length} />
      <div className="visually-hidden" role="status" aria-live="polite">
        {running ? t("chat.answering") : ran.current ? outcome(all.at(-1)) : ""}
      </div>
      <Composer
        conversation={thread.unknown ? NEW_CONVERSATION : thread.id}
        loading={state.loading || state.failed}
        running={running}
        reconnecting={state.reconnecting}
        refusal={state.refusal}
        models={models}
        settings={settings}
        onSettings={choose}
        onSend={send}
        onStop={() => void thread.stop()}
        onFilesTaken={() => thread.forgetRefusedFiles()}
        onDismiss={() => thread.dismissRefusal()}
      />
    </>
  );
}

function Welcome({ onPick }: { onPick: (text: string) => void }): React.JSX.Element {
  const found = useStore(viewer);
  const name = found.state === "in" ? (found.user.display_name ?? found.user.username) : "";
  return (
    <div className="welcome">
      <h1>{t("welcome.title", { name })}</h1>
      <p>{t("welcome.text")}</p>
      <div className="suggestions">
        {(["welcome.one", "welcome.two", "welcome.three"] as const).map((key) => (
          <button key={key} type="button" onClick={() => onPick(t(key))}>
            {t(key)}
          </button>
        ))}
      </div>
    </div>
  );
}

function Missing(): React.JSX.Element {
  return (
    <div className="empty">
      <Icon name="search" size={32} />
      <h1>{t("chat.missing")}</h1>
      <p>{t("chat.missingText")}</p>
      <button type="button" className="button primary" onClick={() => go()}>
        {t("chat.new")}
      </button>
    </div>
  );
}

function Failed({ onRetry }: { onRetry: () => void }): React.JSX.Element {
  return (
    <div className="empty">
      <p role="alert">{t("chat.failed")}</p>
      <button type="button" className="button primary" onClick={onRetry}>
        {t("action.retry")}
      </button>
    </div>
  );
}

let modelsRead: Promise<readonly Model[]> | null = null;

function useModels(): readonly Model[] {
  const [models, setModels] = useState<readonly Model[]>([]);
  useEffect(() => {
    modelsRead ??= api.GET("/api/v1/models").then(({ data }) => data!.data);
    modelsRead.then(setModels, (error: unknown) => {
      modelsRead = null;
      notifyError(error);
    });
  }, []);
  return models;
}

function useEscape(active: boolean, run: () => void): void {
  useEffect(() => {
    if (!active) return;
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open]")) return;
      const elsewhere = event.composedPath().some((each) => each instanceof Element && each.matches(OWN_ESCAPE));
      if (!elsewhere) run();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  });
}
