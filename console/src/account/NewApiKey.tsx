import { useState } from "react";

import type { components } from "@parley/client";

import { api, viewer } from "../app/client";
import { confirmed } from "../app/confirm";
import { describe } from "../app/feedback";
import { useStore } from "../app/store";
import { t } from "../i18n";
import { Field, Form, Select } from "../ui/controls";

type ApiKey = components["schemas"]["ApiKeyView"];

/** What a key may do, as far as the account may do it. No key manages the account. */
const SCOPES = ["chat:write", "history:read", "history:write", "events:read", "webhooks", "admin"] as const;
const USUAL_SCOPES: readonly string[] = ["chat:write"];
/** Days; the server decides about the usual lifetime, which a plan may shorten. */
const USUAL_LIFETIME = "90";
const NO_END = "never";
const LIFETIMES = ["7", "30", USUAL_LIFETIME, "365", NO_END] as const;
const DAY_MS = 86_400_000;

/** The form for a new key. */
export function NewApiKey({ onMade }: { onMade: (key: ApiKey) => void }): React.JSX.Element {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState(USUAL_SCOPES);
  const [lifetime, setLifetime] = useState<string>(USUAL_LIFETIME);
  const create = async (): Promise<void> => {
    const body = { name: name.trim(), scopes: [...scopes], ...expiry(lifetime) };
    const { data } = await confirmed(() => api.POST("/api/v1/auth/api-keys", { body }));
    setName("");
    setScopes(USUAL_SCOPES);
    setLifetime(USUAL_LIFETIME);
    onMade(data!);
  };
  return (
    <Form submit={t("account.keyCreate")} describe={describe} onSubmit={create} disabled={!name.trim() || scopes.length === 0}>
      <Field label={t("account.keyName")} member="name" value={name} onChange={setName} />
      <KeyScopes scopes={scopes} onChange={setScopes} />
      <Select label={t("account.keyExpires")} value={lifetime} options={LIFETIMES.map((each) => [each, lifetimeName(each)] as const)} onChange={setLifetime} />
    </Form>
  );
}

function KeyScopes(props: { scopes: readonly string[]; onChange: (scopes: readonly string[]) => void }): React.JSX.Element {
  const { scopes } = props;
  const found = useStore(viewer);
  const own = SCOPES.filter((each) => found.state === "in" && found.scopes.has(each));
  const toggle = (scope: string): void => props.onChange(scopes.includes(scope) ? scopes.filter((each) => each !== scope) : [...scopes, scope]);
  return (
    <fieldset className="field">
      <legend>{t("account.keyScopes")}</legend>
      {own.map((scope) => (
        <label key={scope} className="check">
          <input type="checkbox" checked={scopes.includes(scope)} onChange={() => toggle(scope)} />
          <span>
            {t(`scope.${scope}`)} <code>{scope}</code>
          </span>
        </label>
      ))}
      <p className="hint">{t("account.keyScopesHint")}</p>
    </fieldset>
  );
}

function lifetimeName(lifetime: string): string {
  if (lifetime === NO_END) return t("account.keyNoEnd");
  return t(lifetime === USUAL_LIFETIME ? "account.keyUsualDays" : "account.keyDays", { days: lifetime });
}

/** The field of a request; without it, the server chooses the usual lifetime. */
function expiry(lifetime: string): { expires_at?: string | null } {
  if (lifetime === USUAL_LIFETIME) return {};
  return { expires_at: lifetime === NO_END ? null : new Date(Date.now() + Number(lifetime) * DAY_MS).toISOString() };
}
