import { useState } from "react";

import type { components } from "@parley/client";

import { api } from "../app/client";
import { confirmed } from "../app/confirm";
import { notify, notifyError } from "../app/feedback";
import { More, Unread, usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { AskFirst } from "../ui/AskFirst";
import { Copy, IconButton } from "../ui/controls";
import { Card, Secret } from "../ui/Page";
import { NewApiKey } from "./NewApiKey";

type ApiKey = components["schemas"]["ApiKeyView"];

export function ApiKeys(): React.JSX.Element {
  const [made, setMade] = useState<ApiKey | null>(null);
  const pages = usePages(async (page) => {
    const { data } = await api.GET("/api/v1/auth/api-keys", { params: { query: { limit: 50, ...page } } });
    return data!;
  });
  const { items, again } = pages;
  const remove = (id: string): void => {
    confirmed(() => api.DELETE("/api/v1/auth/api-keys/{key_id}", { params: { path: { key_id: id } } })).then(() => {
      notify(t("account.keyDeleted"));
      setMade((shown) => (shown?.id === id ? null : shown));
      again();
    }, notifyError);
  };
  return (
    <Card title={t("account.keys")} text={t("account.keysText")}>
      {made?.key && <Secret text={t("account.keyOnce")} value={made.key} copy={<Copy text={made.key} label={t("action.copy")} />} />}
      {items === null && <Unread {...pages} />}
      {items?.length === 0 && <p className="quiet">{t("account.keyNone")}</p>}
      {items !== null && items.length > 0 && (
        <ul className="rows">
          {items.map((key) => (
            <Row key={key.id} apiKey={key} onDelete={() => remove(key.id)} />
          ))}
        </ul>
      )}
      <More pages={pages} />
      <NewApiKey
        onMade={(key) => {
          setMade(key);
          again();
        }}
      />
    </Card>
  );
}

function Row({ apiKey, onDelete }: { apiKey: ApiKey; onDelete: () => void }): React.JSX.Element {
  const label = t("account.keyDelete", { name: apiKey.name });
  const used = apiKey.last_used_at ? t("account.lastUsed", { date: moment(apiKey.last_used_at) }) : t("account.keyNever");
  return (
    <li>
      <div>
        <strong>{apiKey.name}</strong> <code>{apiKey.prefix}…</code>
        <p className="quiet">{[apiKey.scopes.join(", "), used, expiryOf(apiKey)].join(" · ")}</p>
      </div>
      <AskFirst small sure={t("action.deleteSure")} label={label} onSure={onDelete}>
        {(ask) => <IconButton icon="trash" label={label} onClick={ask} />}
      </AskFirst>
    </li>
  );
}

function expiryOf({ expires_at }: ApiKey): string {
  if (expires_at === null) return t("account.keyEndless");
  return t(Date.parse(expires_at) > Date.now() ? "account.keyUntil" : "account.keyExpired", { date: moment(expires_at) });
}
