import { useState } from "react";

import { api, viewer } from "../app/client";
import { confirmed } from "../app/confirm";
import { describe, notify, notifyError } from "../app/feedback";
import { More, Unread, usePages } from "../app/loading";
import { useStore } from "../app/store";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Field, Form } from "../ui/controls";
import { Card } from "../ui/Page";
import { SessionRows } from "./SessionRows";

export function Security(): React.JSX.Element {
  return (
    <>
      <Sessions />
      <Password />
    </>
  );
}

function Sessions(): React.JSX.Element {
  const pages = usePages(async (page) => {
    const { data } = await api.GET("/api/v1/auth/sessions", { params: { query: { limit: 50, ...page } } });
    return data!;
  });
  const { items, again } = pages;
  const end = (id: string | null): void => {
    const run =
      id === null
        ? () => api.DELETE("/api/v1/auth/sessions")
        : () => api.DELETE("/api/v1/auth/sessions/{session_id}", { params: { path: { session_id: id } } });
    confirmed<unknown>(run).then(() => {
      notify(t("account.sessionEnded"));
      again();
    }, notifyError);
  };
  const others = items?.some((each) => !each.current);
  return (
    <Card
      title={t("account.sessions")}
      text={t("account.sessionsText")}
      actions={
        others && (
          <button type="button" className="button danger small" onClick={() => end(null)}>
            {t("account.endOthers")}
          </button>
        )
      }
    >
      {items === null && <Unread {...pages} />}
      <SessionRows sessions={items ?? []} facts={(each) => t("account.lastUsed", { date: moment(each.last_used_at) })} onEnd={end} />
      <More pages={pages} />
    </Card>
  );
}

function Password(): React.JSX.Element {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const found = useStore(viewer);
  const name = found.state === "in" ? found.user.username : ""; // for password managers
  const submit = async (): Promise<void> => {
    const body = { current_password: current, new_password: next } as never; // `end_api_keys` has a default
    await confirmed(() => api.POST("/api/v1/auth/me/password", { body }));
    setCurrent("");
    setNext("");
    notify(t("account.passwordChanged"));
  };
  return (
    <Card title={t("account.changePassword")}>
      <Form submit={t("account.changePassword")} describe={describe} onSubmit={submit}>
        <input type="text" className="visually-hidden" autoComplete="username" value={name} readOnly tabIndex={-1} aria-hidden="true" />
        <Field label={t("account.currentPassword")} member="current_password" type="password" value={current} onChange={setCurrent} autoComplete="current-password" required />
        <Field label={t("account.newPassword")} member="new_password" type="password" value={next} onChange={setNext} autoComplete="new-password" hint={t("auth.passwordHint")} required />
      </Form>
    </Card>
  );
}
