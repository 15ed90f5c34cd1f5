import { useState } from "react";

import { ParleyError, type User } from "@parley/client";

import { api, enter, viewer } from "../app/client";
import { confirmed } from "../app/confirm";
import { describe, notify } from "../app/feedback";
import { preferences, setPreferences, type Language, type Theme } from "../app/preferences";
import { useStore } from "../app/store";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Field, Form, Select } from "../ui/controls";
import { Card } from "../ui/Page";

export function Profile(): React.JSX.Element | null {
  const found = useStore(viewer);
  return found.state === "in" ? <ProfileForm user={found.user} /> : null;
}

function ProfileForm({ user }: { user: User }): React.JSX.Element {
  const [username, setUsername] = useState(user.username);
  const [name, setName] = useState(user.display_name ?? "");
  const [email, setEmail] = useState(user.email ?? "");
  const submit = async (): Promise<void> => {
    const body = {
      ...(username === user.username ? {} : { username }),
      ...(name === (user.display_name ?? "") ? {} : { display_name: name || null }),
      ...(email === (user.email ?? "") ? {} : { email: email || null }),
    };
    await confirmed(() => api.PATCH("/api/v1/auth/me", { body }));
    await enter();
    notify(t("action.saved"));
  };
  const verified = user.email ? ` (${t(user.email_verified ? "account.emailVerified" : "account.emailUnverified")})` : "";
  return (
    <Card title={t("account.profile")} text={`${t("account.since", { date: moment(user.created_at) })} · ${t("account.plan")}: ${user.plan}`}>
      <Form submit={t("action.save")} describe={describe} onSubmit={submit}>
        <Field label={t("auth.username")} member="username" value={username} onChange={setUsername} autoComplete="username" required />
        <Field label={t("account.displayName")} member="display_name" value={name} onChange={setName} autoComplete="name" />
        <Field label={t("auth.email") + verified} member="email" type="email" value={email} onChange={setEmail} autoComplete="email" />
      </Form>
      {user.email && !user.email_verified && <ConfirmEmail key={user.email} email={user.email} />}
    </Card>
  );
}

/** Ask for a mail whose link confirms the address. */
function ConfirmEmail({ email }: { email: string }): React.JSX.Element {
  const [sent, setSent] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const request = async (): Promise<void> => {
    setError(null);
    try {
      await api.POST("/api/v1/auth/email-verification/request");
      setSent(true);
    } catch (reason) {
      const noMail = reason instanceof ParleyError && reason.status === 404; // the route exists only on a server that sends mail
      setError(noMail ? t("account.emailNoMail") : describe(reason));
    }
  };
  return (
    <section className="stack">
      <p className="quiet">{t("account.emailConfirmText")}</p>
      <div className="row">
        <button type="button" className="button" onClick={() => void request()}>
          {t("account.emailConfirm")}
        </button>
      </div>
      <p role="status">{sent && error === null && t("account.emailSent", { email })}</p>
      {error && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
    </section>
  );
}

export function Preferences(): React.JSX.Element {
  const { theme, language } = useStore(preferences);
  return (
    <Card title={t("account.preferences")}>
      <div className="form">
        <Select
          label={t("account.theme")}
          value={theme}
          options={(["system", "light", "dark"] as const).map((each) => [each, t(`account.theme.${each}`)] as const)}
          onChange={(chosen) => setPreferences({ theme: chosen as Theme })}
        />
        <Select
          name="language"
          label={t("account.language")}
          value={language}
          options={[
            ["en", "English"],
            ["zh", "中文"],
          ]}
          onChange={(chosen) => setPreferences({ language: chosen as Language })}
        />
      </div>
    </Card>
  );
}
