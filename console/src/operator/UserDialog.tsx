import { useState } from "react";

import type { components, User } from "@parley/client";

import { BudgetPeriods, isLimited } from "../account/Budget";
import { api, viewer } from "../app/client";
import { confirmed } from "../app/confirm";
import { describe, notify, notifyError } from "../app/feedback";
import { Unread, useLoaded } from "../app/loading";
import { useStore } from "../app/store";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Copy, Dialog, Field, Form } from "../ui/controls";
import { Secret } from "../ui/Page";
import { PlanChoice } from "./PlanChoice";
import { ScopeChoices } from "./ScopeChoices";
import { UserSessions } from "./UserSessions";
import { StatusBadge } from "./Users";

/** One account: plan, rights, status, link for a password, sessions, erasure. */
export function UserDialog(props: { user: User; onClose: () => void }): React.JSX.Element {
  const [user, setUser] = useState(props.user);
  const path = { user_id: user.id };
  const patch = async (body: components["schemas"]["AdminUserBody"]): Promise<void> => {
    const { data } = await confirmed(() => api.PATCH("/api/v1/admin/users/{user_id}", { params: { path }, body }));
    setUser(data!);
    notify(t("action.saved"));
  };
  return (
    <Dialog wide title={user.username} onClose={props.onClose}>
      <p className="facts-line">
        <StatusBadge status={user.status} />
        <span>{user.email ?? "–"}</span>
        <span>
          {t("operator.lastLogin")}: {user.last_login_at ? moment(user.last_login_at) : t("operator.never")}
        </span>
      </p>
      <Rights user={user} onSave={patch} />
      <Access user={user} onPatch={patch} />
      <Budget user={user} />
      <UserSessions user={user} />
      <Erase user={user} onDone={props.onClose} />
    </Dialog>
  );
}

function Rights({ user, onSave }: { user: User; onSave: (body: components["schemas"]["AdminUserBody"]) => Promise<void> }): React.JSX.Element {
  const [plan, setPlan] = useState(user.plan);
  const [scopes, setScopes] = useState<readonly string[]>(user.scopes);
  const sameScopes = scopes.length === user.scopes.length && scopes.every((each) => user.scopes.includes(each));
  const save = (): Promise<void> =>
    onSave({ ...(plan === user.plan ? {} : { plan: plan.trim() }), ...(sameScopes ? {} : { scopes: [...scopes] }) });
  const unchanged = plan === user.plan && sameScopes;
  return (
    <Form submit={t("action.save")} describe={describe} onSubmit={save} disabled={unchanged}>
      <PlanChoice plan={plan} onChange={setPlan} />
      <ScopeChoices scopes={scopes} onChange={setScopes} />
    </Form>
  );
}

function Access({ user, onPatch }: { user: User; onPatch: (body: components["schemas"]["AdminUserBody"]) => Promise<void> }): React.JSX.Element {
  const [link, setLink] = useState<components["schemas"]["ResetView"] | null>(null);
  const reset = async (): Promise<void> => {
    const { data } = await confirmed(() =>
      api.POST("/api/v1/admin/users/{user_id}/password-reset", { params: { path: { user_id: user.id } } }),
    );
    setLink(data!);
  };
  const disabled = user.status === "disabled";
  return (
    <>
      <div className="row">
        <button type="button" className="button" onClick={() => void reset().catch(notifyError)}>
          {t("operator.reset")}
        </button>
        {user.status !== "invited" && (
          <button
            type="button"
            className={disabled ? "button" : "button danger"}
            onClick={() => void onPatch({ status: disabled ? "active" : "disabled" }).catch(notifyError)}
          >
            {t(disabled ? "operator.enable" : "operator.disable")}
          </button>
        )}
      </div>
      {link && (
        <Secret
          text={t("operator.resetLink", { name: user.username, date: moment(link.expires_at) })}
          value={link.url}
          copy={<Copy text={link.url} label={t("action.copy")} />}
        />
      )}
    </>
  );
}

/** What the person has spent and may still spend; the plan decides. */
function Budget({ user }: { user: User }): React.JSX.Element {
  const [budget, reading] = useLoaded(
    async () => (await api.GET("/api/v1/admin/users/{user_id}/budget", { params: { path: { user_id: user.id } } })).data!,
    [user.id, user.plan],
  );
  return (
    <section className="stack">
      <h3>{t("budget.title")}</h3>
      {budget === null ? <Unread {...reading} /> : isLimited(budget) ? <BudgetPeriods budget={budget} /> : <p className="quiet">{t("budget.unlimited")}</p>}
    </section>
  );
}

function Erase({ user, onDone }: { user: User; onDone: () => void }): React.JSX.Element {
  const [typed, setTyped] = useState("");
  const me = useStore(viewer);
  const erase = async (): Promise<void> => {
    await confirmed(() => api.DELETE("/api/v1/admin/users/{user_id}", { params: { path: { user_id: user.id } } }));
    notify(t("operator.erasing", { name: user.username }));
    onDone();
  };
  if (me.state === "in" && me.user.id === user.id) return <></>;
  return (
    <section className="stack danger-zone">
      <h3>{t("operator.erase")}</h3>
      <p className="quiet">{t("operator.eraseText", { name: user.username })}</p>
      <Form bad submit={t("operator.erase")} describe={describe} onSubmit={erase} disabled={typed !== user.username}>
        <Field label={t("operator.eraseConfirm", { name: user.username })} value={typed} onChange={setTyped} />
      </Form>
    </section>
  );
}
