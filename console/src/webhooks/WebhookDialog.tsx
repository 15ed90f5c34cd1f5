import { useState } from "react";

import { api } from "../app/client";
import { notify, notifyError } from "../app/feedback";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { AskFirst } from "../ui/AskFirst";
import { Copy, Dialog } from "../ui/controls";
import { Badge, Secret } from "../ui/Page";
import { Deliveries } from "./Deliveries";
import { disabledReason, statusLook, type Webhook } from "./words";

/** One webhook: test and pause it, replace its secret, see its deliveries, delete it. */
export function WebhookDialog(props: { webhook: Webhook; onClose: () => void }): React.JSX.Element {
  const [webhook, setWebhook] = useState(props.webhook);
  const [sent, setSent] = useState(0);
  const path = { webhook_id: webhook.id };
  const active = webhook.status === "active";
  const change = async (): Promise<void> => {
    const body = { status: active ? "paused" : "active" } as const;
    setWebhook((await api.PATCH("/api/v1/webhooks/{webhook_id}", { params: { path }, body })).data!);
    notify(t("action.saved"));
  };
  const test = async (): Promise<void> => {
    await api.POST("/api/v1/webhooks/{webhook_id}/test", { params: { path } });
    notify(t("events.testSent"));
    setSent((before) => before + 1);
  };
  return (
    <Dialog wide title={webhook.description ?? webhook.url} onClose={props.onClose}>
      <p className="facts-line">
        <Badge text={t(`events.status.${webhook.status}`)} look={statusLook(webhook.status)} />
        <span>{t(`events.scope.${webhook.scope}`)}</span>
        {webhook.ordered && <span>{t("events.isOrdered")}</span>}
        <span>{t("events.since", { date: moment(webhook.created_at) })}</span>
      </p>
      {webhook.disabled_reason && <p className="form-error">{disabledReason(webhook.disabled_reason)}</p>}
      <p className="quiet wrap">
        {webhook.description && <>{webhook.url} · </>}
        {webhook.events.map((each) => (
          <code key={each}>{each} </code>
        ))}
      </p>
      <div className="row">
        <button type="button" className="button" onClick={() => void test().catch(notifyError)}>
          {t("events.test")}
        </button>
        <button type="button" className="button" onClick={() => void change().catch(notifyError)}>
          {t(active ? "events.pause" : "events.activate")}
        </button>
      </div>
      <Deliveries webhook={webhook} sent={sent} />
      <NewSecret webhook={webhook} />
      <Delete webhook={webhook} onDone={props.onClose} />
    </Dialog>
  );
}

function NewSecret({ webhook }: { webhook: Webhook }): React.JSX.Element {
  const [secret, setSecret] = useState<string | null>(null);
  const rotate = async (): Promise<void> => {
    const { data } = await api.POST("/api/v1/webhooks/{webhook_id}/secret", { params: { path: { webhook_id: webhook.id } } });
    setSecret(data!.secret);
  };
  return (
    <section className="stack">
      <h3>{t("events.rotate")}</h3>
      <p className="quiet">{t("events.rotateText")}</p>
      {secret === null ? (
        <div className="row">
          <button type="button" className="button" onClick={() => void rotate().catch(notifyError)}>
            {t("events.rotateDo")}
          </button>
        </div>
      ) : (
        <Secret text={t("events.secret")} value={secret} copy={<Copy text={secret} label={t("action.copy")} />} />
      )}
    </section>
  );
}

function Delete({ webhook, onDone }: { webhook: Webhook; onDone: () => void }): React.JSX.Element {
  const remove = async (): Promise<void> => {
    await api.DELETE("/api/v1/webhooks/{webhook_id}", { params: { path: { webhook_id: webhook.id } } });
    notify(t("events.deleted"));
    onDone();
  };
  return (
    <section className="stack danger-zone">
      <h3>{t("events.delete")}</h3>
      <p className="quiet">{t("events.deleteText")}</p>
      <div className="row">
        <AskFirst sure={t("action.deleteSure")} label={t("events.delete")} onSure={() => void remove().catch(notifyError)}>
          {(ask) => (
            <button type="button" className="button danger" onClick={ask}>
              {t("events.delete")}
            </button>
          )}
        </AskFirst>
      </div>
    </section>
  );
}
