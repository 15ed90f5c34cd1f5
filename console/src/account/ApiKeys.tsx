import { useState } from "react";

import { api } from "../app/client";
import { confirmed } from "../app/confirm";
import { describe, notify, notifyError } from "../app/feedback";
import { usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Copy, Field, Form, IconButton, Loading } from "../ui/controls";
import { Card, Secret } from "../ui/Page";

export function ApiKeys(): React.JSX.Element {
  const [name, setName] = useState("");
  const [shown, setShown] = useState<string | null>(null);
  const { items, more, again } = usePages(async (cursor) => {
    const { data } = await api.GET("/api/v1/auth/api-keys", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } });
    return data!;
  });
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
      {items === null && <Loading />}
      {items?.length === 0 && <p className="quiet">{t("account.keyNone")}</p>}
      <ul className="rows">
        {items?.map((key) => (
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
      {more && (
        <button type="button" className="button" onClick={more}>
          {t("action.more")}
        </button>
      )}
      <Form submit={t("account.keyCreate")} describe={describe} onSubmit={create} disabled={!name.trim()}>
        <Field label={t("account.keyName")} value={name} onChange={setName} />
      </Form>
    </Card>
  );
}
