import { useEffect, useRef, useState } from "react";

import type { Model, StoredFile } from "@parley/client";

import { chooseFiles } from "../app/choose";
import { useOnline } from "../app/online";
import { useStore } from "../app/store";
import { AttachmentList } from "../files/AttachmentList";
import { useAttachments } from "../files/attachments";
import { useDrop } from "../files/useDrop";
import { t } from "../i18n";
import { Dialog, IconButton, Select } from "../ui/controls";
import { Icon } from "../ui/Icon";
import type { Refusal, TurnSettings } from "./threadState";
import { useSystemPrompt } from "./systemPrompt";
import { useDraft } from "./useDraft";

const MAX_MESSAGE = 32_000;

/** The box at the foot of a conversation: message, model, settings, send and stop. */
export function Composer(props: {
  /** Where the text is kept until it is sent. */
  conversation: string;
  /** Whether the conversation is not read yet. */
  loading: boolean;
  running: boolean;
  reconnecting: boolean;
  refusal: Refusal | null;
  models: readonly Model[];
  settings: TurnSettings;
  onSettings: (settings: TurnSettings) => void;
  onSend: (text: string, files: readonly StoredFile[]) => void;
  onStop: () => void;
  /** The files of a refused message are here again. */
  onFilesTaken: () => void;
  onDismiss: () => void;
}): React.JSX.Element {
  const [text, setText] = useDraft(props.conversation);
  const [settingsOpen, setSettingsOpen] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const online = useOnline();
  const wait = useCountdown(props.refusal?.retryAt ?? null);

  const attachments = useAttachments();
  const files = useStore(attachments.items);
  const dropping = useDrop(attachments.add);

  useEffect(() => {
    if (props.refusal?.text && !text) setText(props.refusal.text);
    if (props.refusal?.files.length) {
      attachments.restore(props.refusal.files);
      props.onFilesTaken();
    }
  }, [props.refusal]);
  useEffect(() => {
    area.current?.setSelectionRange(text.length, text.length); // to write on after a draft
  }, []);
  useEffect(() => {
    const box = area.current;
    if (!box) return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, 240)}px`;
  }, [text]);

  const ready = text.trim() !== "" && text.length <= MAX_MESSAGE && files.every((each) => each.file);
  const sendable = !props.running && !props.loading && ready && online && wait === 0;
  const send = (): void => {
    if (!sendable) return;
    props.onSend(text, attachments.take());
    setText("");
  };
  return (
    <div className="composer">
      <Notice {...props} online={online} wait={wait} tooLong={text.length > MAX_MESSAGE} />
      <form
        className={dropping ? "composer-box dropping" : "composer-box"}
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        {dropping && <p className="drop-hint">{t("files.drop")}</p>}
        <AttachmentList attachments={attachments} />
        <textarea
          ref={area}
          dir="auto"
          value={text}
          rows={1}
          placeholder={t(files.length ? "files.placeholder" : "chat.placeholder")}
          aria-label={t("chat.message")}
          autoFocus
          onChange={(event) => setText(event.target.value)}
          onPaste={(event) => {
            const pasted = event.clipboardData.files;
            if (pasted.length === 0) return;
            event.preventDefault(); // a copied image often has its address as text, too
            attachments.add(pasted);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
              event.preventDefault();
              send();
            }
          }}
        />
        <div className="composer-tools">
          <IconButton icon="clip" label={t("files.add")} onClick={() => void chooseFiles({ multiple: true }).then(attachments.add)} />
          <Select
            hidden
            label={t("chat.model")}
            value={props.settings.model ?? ""}
            options={[["", t("chat.defaultModel")], ...answering(props.models).map((model) => [model.id, modelName(model)] as const)]}
            onChange={(model) => props.onSettings({ ...props.settings, model: model || null })}
          />
          <IconButton
            icon="sliders"
            label={t("chat.settings")}
            className={props.settings.systemPrompt !== null || props.settings.temperature !== null ? "changed" : ""}
            onClick={() => setSettingsOpen(true)}
          />
          <span className="grow" />
          {props.running ? (
            <button type="button" className="round stop" aria-label={t("chat.stop")} title={t("chat.stop")} onClick={props.onStop}>
              <Icon name="stop" />
            </button>
          ) : (
            <button type="submit" className="round" aria-label={t("chat.send")} title={t("chat.send")} aria-disabled={!sendable || undefined}>
              <Icon name="send" />
            </button>
          )}
        </div>
      </form>
      <p className="composer-hint">{t("chat.hint")}</p>
      {settingsOpen && <Settings conversation={props.conversation} settings={props.settings} onSettings={props.onSettings} onClose={() => setSettingsOpen(false)} />}
    </div>
  );
}

function Notice(props: {
  online: boolean;
  wait: number;
  tooLong: boolean;
  reconnecting: boolean;
  refusal: Refusal | null;
  onDismiss: () => void;
}): React.JSX.Element | null {
  let text: string | null = null;
  if (!props.online) text = t("error.offline");
  else if (props.reconnecting) text = t("chat.reconnecting");
  else if (props.refusal) text = props.wait > 0 ? t("error.rateLimited", { seconds: props.wait }) : props.refusal.message;
  else if (props.tooLong) text = t("chat.tooLong");
  if (text === null) return null;
  return (
    <div className="notice" role="alert">
      {props.reconnecting ? <span className="spinner" aria-hidden="true" /> : <Icon name="warning" size={16} />}
      <span>{text}</span>
      {props.refusal && <IconButton icon="close" size={14} label={t("action.close")} onClick={props.onDismiss} />}
    </div>
  );
}

function Settings(props: { conversation: string; settings: TurnSettings; onSettings: (settings: TurnSettings) => void; onClose: () => void }): React.JSX.Element {
  const { settings, onSettings } = props;
  const current = useSystemPrompt(props.conversation);
  const warm = settings.temperature !== null;
  return (
    <Dialog title={t("chat.settings")} onClose={props.onClose}>
      <div className="form">
        <div className="field">
          <label htmlFor="system-prompt">{t("chat.systemPrompt")}</label>
          <textarea
            id="system-prompt"
            dir="auto"
            rows={5}
            readOnly={settings.systemPrompt === null && current === null}
            value={settings.systemPrompt ?? current ?? ""}
            onChange={(event) => onSettings({ ...settings, systemPrompt: event.target.value })}
          />
          <p className="hint">{t("chat.systemPromptHint")}</p>
        </div>
        <div className="field">
          <label className="check">
            <input type="checkbox" checked={warm} onChange={() => onSettings({ ...settings, temperature: warm ? null : 0.7 })} />
            {t("chat.ownTemperature")}
          </label>
          {warm && (
            <div className="row">
              <input
                type="range"
                min={0}
                max={2}
                step={0.1}
                aria-label={t("chat.temperature")}
                value={settings.temperature ?? 0.7}
                onChange={(event) => onSettings({ ...settings, temperature: Number(event.target.value) })}
              />
              <output>{settings.temperature?.toFixed(1)}</output>
            </div>
          )}
        </div>
        <button type="button" className="button primary" onClick={props.onClose}>
          {t("action.done")}
        </button>
      </div>
    </Dialog>
  );
}

function answering(models: readonly Model[]): readonly Model[] {
  return models.filter((model) => !model.capabilities.includes("embeddings"));
}

function modelName(model: Model): string {
  return model.available ? model.name : `${model.name} (${t("chat.unavailable")})`;
}

/** Seconds until a moment; 0 when it has passed. */
function useCountdown(until: number | null): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (until === null || until <= Date.now()) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [until]);
  return until === null ? 0 : Math.max(0, Math.ceil((until - now) / 1000));
}
