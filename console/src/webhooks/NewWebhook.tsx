import { useState } from "react";

import type { components } from "@parley/client";

import { api } from "../app/client";
import { describe } from "../app/feedback";
import { t } from "../i18n";
import { Copy, Dialog, Field, Form } from "../ui/controls";
import { Secret } from "../ui/Page";
import type { Webhook } from "./words";

const CHOICES = [
  ["conversation.turn.completed", "events.filter.completed"],
  ["conversation.turn.*", "events.filter.turns"],
  ["conversation.*", "events.filter.conversations"],
] as const;

/** Create a webhook; its secret is shown once. */
export function NewWebhook({ scope, onClose }: { scope: Webhook["scope"]; onClose: () => void }): React.JSX.Element {
  const [made, setMade] = useState<components["schemas"]["WebhookSecretView"] | null>(null);
  return (
    <Dialog title={t(scope === "all" ? "events.createAll" : "events.create")} onClose={onClose}>
      {made ? (
        <>
          <Secret text={t("events.secret")} value={made.secret} copy={<Copy text={made.secret} label={t("action.copy")} />} />
          <p className="quiet">{t("events.secretNext")}</p>
          <button type="button" className="button primary" onClick={onClose}>
            {t("action.done")}
          </button>
        </>
      ) : (
        <Questions scope={scope} onMade={setMade} />
      )}
    </Dialog>
  );
}

function Questions(props: { scope: Webhook["scope"]; onMade: (made: components["schemas"]["WebhookSecretView"]) => void }): React.JSX.Element {
  const [url, setUrl] = useState("");
  const [description, setDescription] = useState("");
  const [chosen, setChosen] = useState<readonly string[]>([CHOICES[0][0]]);
  const [others, setOthers] = useState("");
  const [ordered, setOrdered] = useState(false);
  const events = [...chosen, ...others.split(/[\s,]+/).filter(Boolean)];
  const submit = async (): Promise<void> => {
    const body = { url: url.trim(), events, ordered, scope: props.scope, ...(description.trim() ? { description: description.trim() } : {}) };
    props.onMade((await api.POST("/api/v1/webhooks", { body })).data!);
  };
  const toggle = (event: string): void => setChosen((before) => (before.includes(event) ? before.filter((each) => each !== event) : [...before, event]));
  return (
    <Form submit={t("action.create")} describe={describe} onSubmit={submit} disabled={!url.trim() || events.length === 0}>
      <Field label={t("events.url")} member="url" type="url" value={url} onChange={setUrl} hint={t("events.urlHint")} required autoFocus />
      <Field label={t("events.description")} member="description" value={description} onChange={setDescription} />
      <fieldset className="field">
        <legend>{t("events.types")}</legend>
        {CHOICES.map(([event, text]) => (
          <label key={event} className="check">
            <input type="checkbox" checked={chosen.includes(event)} onChange={() => toggle(event)} />
            <span>
              {t(text)} <code>{event}</code>
            </span>
          </label>
        ))}
      </fieldset>
      <Field label={t("events.others")} value={others} onChange={setOthers} hint={t("events.othersHint")} />
      <label className="check">
        <input type="checkbox" checked={ordered} onChange={() => setOrdered(!ordered)} />
        {t("events.ordered")}
      </label>
    </Form>
  );
}
