import { useState } from "react";

import { ParleyError } from "@parley/client";

import { api, logIn } from "../app/client";
import { describe } from "../app/feedback";
import { preferences, setPreferences } from "../app/preferences";
import { go, href, usePlace } from "../app/router";
import { useStore } from "../app/store";
import { useTitle } from "../app/title";
import { t } from "../i18n";
import { Field, Form } from "../ui/controls";

/** What people see who are not logged in. */
export function AuthView({ expired }: { expired: boolean }): React.JSX.Element {
  const [page] = usePlace();
  useTitle(t(page === "register" ? "auth.register" : page === "forgot" ? "auth.forgot" : "auth.logIn"));
  const { language } = useStore(preferences);
  return (
    <main className="auth">
      <div className="auth-card">
        <div className="auth-brand">
          <span className="brand-mark large" aria-hidden="true" />
          <span>Parley</span>
        </div>
        {page === "register" ? <Register /> : page === "forgot" ? <Forgot /> : <LogIn expired={expired} />}
      </div>
      <button type="button" name="language" className="text-button" lang={language === "zh" ? "en" : "zh-CN"} onClick={() => setPreferences({ language: language === "zh" ? "en" : "zh" })}>
        {language === "zh" ? "English" : "中文"}
      </button>
    </main>
  );
}

function LogIn({ expired }: { expired: boolean }): React.JSX.Element {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  return (
    <>
      <h1>{t("auth.logIn")}</h1>
      {expired && <p className="notice">{t("auth.expired")}</p>}
      <Form submit={t("auth.logIn")} describe={describe} onSubmit={() => logIn(name.trim(), password)}>
        <Field label={t("auth.name")} value={name} onChange={setName} autoComplete="username" required autoFocus />
        <Field label={t("auth.password")} type="password" value={password} onChange={setPassword} autoComplete="current-password" required />
      </Form>
      <p className="auth-links">
        <a href={href("register")}>{t("auth.toRegister")}</a>
        <a href={href("forgot")}>{t("auth.toForgot")}</a>
      </p>
    </>
  );
}

function Register(): React.JSX.Element {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const submit = async (): Promise<void> => {
    const body = { username: name.trim(), password, ...(email.trim() ? { email: email.trim() } : {}) };
    await api.POST("/api/v1/auth/register", { body });
    await logIn(name.trim(), password);
    go();
  };
  return (
    <>
      <h1>{t("auth.register")}</h1>
      <Form submit={t("auth.register")} describe={describe} onSubmit={submit}>
        <Field label={t("auth.username")} member="username" value={name} onChange={setName} autoComplete="username" required autoFocus />
        <Field label={t("auth.emailOptional")} member="email" type="email" value={email} onChange={setEmail} autoComplete="email" />
        <Field label={t("auth.password")} member="password" type="password" value={password} onChange={setPassword} autoComplete="new-password" hint={t("auth.passwordHint")} required />
      </Form>
      <p className="auth-links">
        <a href={href()}>{t("auth.toLogIn")}</a>
      </p>
    </>
  );
}

function Forgot(): React.JSX.Element {
  const [email, setEmail] = useState("");
  const [sent, setSent] = useState(false);
  const submit = async (): Promise<void> => {
    await api.POST("/api/v1/auth/password-reset/request", { body: { email: email.trim() } });
    setSent(true);
  };
  return (
    <>
      <h1>{t("auth.forgot")}</h1>
      {sent ? (
        <p role="status">{t("auth.forgotSent")}</p>
      ) : (
        <Form submit={t("auth.sendLink")} describe={describeReset} onSubmit={submit}>
          <Field label={t("auth.email")} member="email" type="email" value={email} onChange={setEmail} autoComplete="email" required autoFocus />
        </Form>
      )}
      <p className="auth-links">
        <a href={href()}>{t("auth.toLogIn")}</a>
      </p>
    </>
  );
}

/** The route exists only on a server that sends mail. */
function describeReset(error: unknown): string {
  return error instanceof ParleyError && error.status === 404 ? t("auth.noMail") : describe(error);
}
