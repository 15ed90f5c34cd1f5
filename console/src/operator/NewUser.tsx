import { useState } from "react";

import type { components } from "@parley/client";

import { api } from "../app/client";
import { confirmed } from "../app/confirm";
import { describe } from "../app/feedback";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Copy, Dialog, Field, Form } from "../ui/controls";
import { Secret } from "../ui/Page";
import { ScopeChoices, USUAL_SCOPES } from "./ScopeChoices";

/** Create an account with a password, or invite a person with a link. */
export function NewUser({ onClose }: { onClose: () => void }): React.JSX.Element {
  const [username, setUsername] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const [plan, setPlan] = useState("");
  const [scopes, setScopes] = useState<readonly string[]>(USUAL_SCOPES);
  const [made, setMade] = useState<components["schemas"]["NewUserView"] | null>(null);
  const submit = async (): Promise<void> => {
    const body = {
      username: username.trim(),
      email: email.trim(),
      ...(password ? { password } : {}),
      ...(plan.trim() ? { plan: plan.trim() } : {}),
      ...(scopes === USUAL_SCOPES ? {} : { scopes: [...scopes] }),
    };
    const { data } = await confirmed(() => api.POST("/api/v1/admin/users", { body }));
    setMade(data!);
  };
  const link = made?.invitation;
  return (
    <Dialog title={t("operator.create")} onClose={onClose}>
      {made ? (
        <>
          {link ? (
            <Secret
              text={t("operator.invitation", { name: made.user.username, date: moment(link.expires_at) })}
              value={link.url}
              copy={<Copy text={link.url} label={t("action.copy")} />}
            />
          ) : (
            <p role="status">{t("operator.created", { name: made.user.username })}</p>
          )}
          <button type="button" className="button primary" onClick={onClose}>
            {t("action.done")}
          </button>
        </>
      ) : (
        <>
          <p className="quiet">{t("operator.createText")}</p>
          <Form submit={t("action.create")} describe={describe} onSubmit={submit}>
            <Field label={t("auth.username")} member="username" value={username} onChange={setUsername} required autoFocus />
            <Field label={t("auth.email")} member="email" type="email" value={email} onChange={setEmail} required />
            <Field label={t("operator.passwordOptional")} member="password" type="password" value={password} onChange={setPassword} autoComplete="new-password" />
            <Field label={t("operator.plan")} member="plan" value={plan} onChange={setPlan} />
            <ScopeChoices scopes={scopes} onChange={setScopes} />
          </Form>
        </>
      )}
    </Dialog>
  );
}
