import type { User } from "@parley/client";

import { browser } from "../account/browser";
import { api } from "../app/client";
import { confirmed } from "../app/confirm";
import { notify, notifyError } from "../app/feedback";
import { More, Unread, usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";

/** Where a person is logged in. An operator ends one session, or all. */
export function UserSessions({ user }: { user: User }): React.JSX.Element {
  const pages = usePages(
    async (page) => {
      const params = { path: { user_id: user.id }, query: { limit: 20, ...page } };
      return (await api.GET("/api/v1/admin/users/{user_id}/sessions", { params })).data!;
    },
    [user.id, user.status],
  );
  const { items, again } = pages;
  const ended = (run: () => Promise<unknown>, text: "account.sessionEnded" | "operator.sessionsEnded"): void => {
    confirmed(run).then(() => {
      notify(t(text));
      again();
    }, notifyError);
  };
  const end = (id: string): void =>
    ended(() => api.DELETE("/api/v1/admin/users/{user_id}/sessions/{session_id}", { params: { path: { user_id: user.id, session_id: id } } }), "account.sessionEnded");
  const endAll = (): void => ended(() => api.DELETE("/api/v1/admin/users/{user_id}/sessions", { params: { path: { user_id: user.id } } }), "operator.sessionsEnded");
  return (
    <section className="stack">
      <div className="row">
        <h3 className="grow">{t("operator.sessions")}</h3>
        {items !== null && items.length > 1 && (
          <button type="button" className="button danger small" onClick={endAll}>
            {t("operator.endSessions")}
          </button>
        )}
      </div>
      {items === null && <Unread {...pages} />}
      {items?.length === 0 && <p className="quiet">{t("operator.noSessions")}</p>}
      <ul className="rows">
        {items?.map((each) => {
          const name = browser(each.user_agent) ?? each.client_id;
          return (
            <li key={each.id}>
              <div>
                <strong>{name}</strong>
                {each.current && <span className="badge good">{t("account.thisSession")}</span>}
                <p className="quiet">
                  {[each.ip, t("operator.loggedIn", { date: moment(each.created_at) }), t("account.lastUsed", { date: moment(each.last_used_at) })].filter(Boolean).join(" · ")}
                </p>
              </div>
              {!each.current && (
                <button type="button" className="button small" aria-label={t("operator.endSession", { name })} onClick={() => end(each.id)}>
                  {t("account.end")}
                </button>
              )}
            </li>
          );
        })}
      </ul>
      <More pages={pages} />
    </section>
  );
}
