import { useState } from "react";

import { api } from "../app/client";
import { confirmed } from "../app/confirm";
import { describe, notify, notifyError } from "../app/feedback";
import { More, Unread, usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Copy, Field, Form, IconButton } from "../ui/controls";
import { Card, Secret } from "../ui/Page";

export function ApiKeys(): React.JSX.Element {
  const [name, setName] = useState("");
  const [shown, setShown] = useState<string | null>(null);
  const pages = usePages(async (page) => {
    const { data } = await api.GET("/api/v1/auth/api-keys", { params: { query: { limit: 50, ...page } } });
    return data!;
  });
  const { items, again } = pages;
  const create = async (): Promise<void> => {
    const { data } = await confirmed(() => api.POST("/api/v1/auth/api-keys", { body: { name: name.trim() } as never }));
    setShown(data!.key);
    setName("");
    again();
  };
  const remove = (id: string): void => {
    confirmed(() => api.DELETE("/api/v1/auth/api-keys/{key_id}", { params: { path: { key_id: id } } })).then(() => {
      notify(t("account.keyDeleted"));
      again();
    }, notifyError);
  };
  return (
    <Card title={t("account.keys")} text={t("account.keysText")}>
      {shown && <Secret text={t("account.keyOnce")} value={shown} copy={<Copy text={shown} label={t("action.copy")} />} />}
      {items === null && <Unread {...pages} />}
      {items?.length === 0 && <p className="quiet">{t("account.keyNone")}</p>}
      {items !== null && items.length > 0 && (
        <ul className="rows">
          {items.map((key) => (
            <li key={key.id}>
              <div>
                <strong>{key.name}</strong> <code>{key.prefix}…</code>
                <p className="quiet">
                  {key.scopes.join(", ")} · {key.last_used_at ? t("account.lastUsed", { date: moment(key.last_used_at) }) : t("account.keyNever")}
                </p>
              </div>
              <IconButton icon="trash" label={t("account.keyDelete", { name: key.name })} onClick={() => remove(key.id)} />
            </li>
          ))}
        </ul>
      )}
      <More pages={pages} />
      <Form submit={t("account.keyCreate")} describe={describe} onSubmit={create} disabled={!name.trim()}>
        <Field label={t("account.keyName")} member="name" value={name} onChange={setName} />
      </Form>
    </Card>
  );
}
