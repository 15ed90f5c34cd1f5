import { useEffect, useState } from "react";

import { api } from "../app/client";
import { usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Loading } from "../ui/controls";
import { Icon } from "../ui/Icon";
import { Table } from "../ui/Page";

const TYPING_MS = 300;

export function AuditLog(): React.JSX.Element {
  const [text, setText] = useState("");
  const [action, setAction] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAction(text.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const { items, more } = usePages(
    async (cursor) => {
      const query = { ...(action ? { action } : {}), ...(cursor ? { cursor } : {}), limit: 50 };
      const { data } = await api.GET("/api/v1/admin/audit", { params: { query } });
      return data!;
    },
    [action],
  );
  return (
    <>
      <div className="toolbar">
        <div className="search grow">
          <Icon name="search" size={16} />
          <input
            type="search"
            list="actions"
            value={text}
            aria-label={t("operator.action")}
            placeholder={`${t("operator.action")}: user.disabled`}
            onChange={(event) => setText(event.target.value)}
          />
          <datalist id="actions">
            {[...new Set(items?.map((each) => each.action))].map((each) => (
              <option key={each} value={each} />
            ))}
          </datalist>
        </div>
      </div>
      {items === null && <Loading />}
      {items?.length === 0 && <p className="quiet">{t("operator.noAudit")}</p>}
      {items !== null && items.length > 0 && (
        <Table label={t("operator.audit")} head={[t("operator.when"), t("operator.action"), t("operator.actor"), t("operator.target"), t("operator.from")]}>
          {items.map((each) => (
            <tr key={each.id}>
              <td>{moment(each.at)}</td>
              <td>
                <code>{each.action}</code>
              </td>
              <td title={each.actor.id ?? undefined}>{party(each.actor)}</td>
              <td title={each.target.id ?? undefined}>{party(each.target)}</td>
              <td>{each.ip ?? "–"}</td>
            </tr>
          ))}
        </Table>
      )}
      {more && (
        <button type="button" className="button" onClick={more}>
          {t("action.more")}
        </button>
      )}
    </>
  );
}

function party(value: { type: string; id: string | null }): string {
  return value.id ? `${value.type} …${value.id.slice(-6)}` : value.type;
}
