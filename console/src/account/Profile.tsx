import { useState } from "react";

import type { User } from "@parley/client";

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
    </Card>
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
