import type { User } from "@parley/client";

import { SessionRows } from "../account/SessionRows";
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
      <SessionRows
        sessions={items ?? []}
        facts={(each) => `${t("operator.loggedIn", { date: moment(each.created_at) })} · ${t("account.lastUsed", { date: moment(each.last_used_at) })}`}
        endLabel={(name) => t("operator.endSession", { name })}
        onEnd={end}
      />
      <More pages={pages} />
    </section>
  );
}
