import { useEffect, useState } from "react";

import type { User } from "@parley/client";

import { api } from "../app/client";
import { More, Unread, usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Select } from "../ui/controls";
import { Icon } from "../ui/Icon";
import { Badge, Table } from "../ui/Page";
import { NewUser } from "./NewUser";
import { UserDialog } from "./UserDialog";

const TYPING_MS = 250;
const STATUSES = ["active", "disabled", "invited"] as const;

export function Users(): React.JSX.Element {
  const [text, setText] = useState("");
  const [query, setQuery] = useState("");
  const [status, setStatus] = useState<"" | User["status"]>("");
  const [creating, setCreating] = useState(false);
  const [open, setOpen] = useState<User | null>(null);
  useEffect(() => {
    const timer = setTimeout(() => setQuery(text.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const pages = usePages(
    async (page) => {
      const filter = { ...(query ? { q: query } : {}), ...(status ? { status } : {}), ...page, limit: 50 };
      const { data } = await api.GET("/api/v1/admin/users", { params: { query: filter } });
      return data!;
    },
    [query, status],
  );
  const { items, again } = pages;
  return (
    <>
      <div className="toolbar">
        <div className="search grow">
          <Icon name="search" size={16} />
          <input type="search" value={text} aria-label={t("operator.search")} placeholder={t("operator.search")} onChange={(event) => setText(event.target.value)} />
        </div>
        <Select
          hidden
          label={t("operator.state")}
          value={status}
          options={[["", t("operator.anyStatus")], ...STATUSES.map((each) => [each, t(`operator.status.${each}`)] as const)]}
          onChange={(chosen) => setStatus(chosen as "" | User["status"])}
        />
        <button type="button" className="button primary" onClick={() => setCreating(true)}>
          <Icon name="plus" size={16} />
          {t("operator.create")}
        </button>
      </div>
      {items === null && <Unread {...pages} />}
      {items?.length === 0 && <p className="quiet">{t("operator.noUsers")}</p>}
      {items !== null && items.length > 0 && (
        <Table label={t("operator.users")} head={[t("operator.name"), t("operator.state"), t("operator.plan"), t("operator.roles"), t("operator.lastLogin")]}>
          {items.map((user) => (
            <tr key={user.id}>
              <td>
                <button type="button" className="person" onClick={() => setOpen(user)}>
                  <span className="avatar" aria-hidden="true">
                    {user.username.slice(0, 1).toUpperCase()}
                  </span>
                  <span>
                    <strong>{user.username}</strong>
                    <small>{user.email ?? user.display_name ?? ""}</small>
                  </span>
                </button>
              </td>
              <td>
                <StatusBadge status={user.status} />
              </td>
              <td>{user.plan}</td>
              <td className="badges">
                {user.scopes.includes("admin") && <Badge text={t("operator.administrator")} look="" />}
                {user.scopes.includes("webhooks") && <Badge text={t("operator.mayWebhooks")} look="" />}
              </td>
              <td>{user.last_login_at ? moment(user.last_login_at) : t("operator.never")}</td>
            </tr>
          ))}
        </Table>
      )}
      <More pages={pages} />
      {creating && (
        <NewUser
          onClose={() => {
            setCreating(false);
            again();
          }}
        />
      )}
      {open && (
        <UserDialog
          user={open}
          onClose={() => {
            setOpen(null);
            again();
          }}
        />
      )}
    </>
  );
}

export function StatusBadge({ status }: { status: User["status"] }): React.JSX.Element {
  const look = { active: "good", disabled: "bad", invited: "" }[status];
  return <span className={`badge ${look}`}>{t(`operator.status.${status}`)}</span>;
}
