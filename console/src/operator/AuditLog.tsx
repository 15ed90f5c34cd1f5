import { useEffect, useRef, useState } from "react";

import { api } from "../app/client";
import { More, Unread, usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Icon } from "../ui/Icon";
import { Table } from "../ui/Page";

const TYPING_MS = 300;
/** Each name is a request. */
const MOST_NAMES = 40;

export function AuditLog(): React.JSX.Element {
  const [text, setText] = useState("");
  const [action, setAction] = useState("");
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setAction(text.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const pages = usePages(
    async (page) => {
      const query = { ...(action ? { action } : {}), ...(from ? { from: startOf(from, 0) } : {}), ...(to ? { to: startOf(to, 1) } : {}), ...page, limit: 50 };
      const { data } = await api.GET("/api/v1/admin/audit", { params: { query } });
      return data!;
    },
    [action, from, to],
  );
  const { items } = pages;
  const names = useUsernames(items ?? []);
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
        <input type="date" value={from} max={to || undefined} aria-label={t("operator.since")} title={t("operator.since")} onChange={(event) => setFrom(event.target.value)} />
        <span className="quiet" aria-hidden="true">
          –
        </span>
        <input type="date" value={to} min={from || undefined} aria-label={t("operator.until")} title={t("operator.until")} onChange={(event) => setTo(event.target.value)} />
      </div>
      {items === null && <Unread {...pages} />}
      {items?.length === 0 && <p className="quiet">{t("operator.noAudit")}</p>}
      {items !== null && items.length > 0 && (
        <Table label={t("operator.audit")} head={[t("operator.when"), t("operator.action"), t("operator.actor"), t("operator.target"), t("operator.from")]}>
          {items.map((each) => (
            <tr key={each.id}>
              <td>{moment(each.at)}</td>
              <td>
                <code>{each.action}</code>
              </td>
              <td title={each.actor.id ?? undefined}>{party(each.actor, names)}</td>
              <td title={each.target.id ?? undefined}>{party(each.target, names)}</td>
              <td>{each.ip ?? "–"}</td>
            </tr>
          ))}
        </Table>
      )}
      <More pages={pages} />
    </>
  );
}

interface Party {
  type: string;
  id: string | null;
}

function party({ type, id }: Party, names: ReadonlyMap<string, string>): string {
  if (!id) return type;
  return names.get(id) ?? `${type} …${id.slice(-6)}`;
}

/** The user names of the people in these entries, as far as they are known yet. Erased people have none. */
function useUsernames(entries: readonly { actor: Party; target: Party }[]): ReadonlyMap<string, string> {
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map());
  const asked = useRef(new Set<string>());
  useEffect(() => {
    for (const { type, id } of entries.flatMap((each) => [each.actor, each.target])) {
      if (type !== "user" || !id || asked.current.has(id) || asked.current.size >= MOST_NAMES) continue;
      asked.current.add(id);
      api.GET("/api/v1/admin/users/{user_id}", { params: { path: { user_id: id } } }).then(
        ({ data }) => setNames((before) => new Map(before).set(id, data!.username)),
        () => {}, // the end of the id stays
      );
    }
  }, [entries]);
  return names;
}

/** The beginning of a day of this device, `later` days after it. */
function startOf(date: string, later: number): string {
  const [year, month, day] = date.split("-").map(Number);
  return new Date(year!, month! - 1, day! + later).toISOString();
}
