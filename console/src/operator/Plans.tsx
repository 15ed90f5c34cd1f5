import { useState } from "react";

import type { components, User } from "@parley/client";

import { api } from "../app/client";
import { More, Unread, usePages } from "../app/loading";
import { t } from "../i18n";
import { bytes, count, money } from "../i18n/format";
import { Dialog } from "../ui/controls";
import { Card, Table } from "../ui/Page";
import { StatusBadge } from "./Users";

type Plan = components["schemas"]["PlanResource"];

/** The plans that the server is configured with, and who has each. */
export function Plans(): React.JSX.Element {
  const [open, setOpen] = useState<Plan | null>(null);
  const pages = usePages(async (page) => {
    const query = { limit: 50, ...page };
    return (await api.GET("/api/v1/admin/plans", { params: { query } })).data!;
  });
  const { items } = pages;
  return (
    <Card title={t("operator.plans")} text={t("operator.plansText")}>
      {items === null && <Unread {...pages} />}
      {items !== null && (
        <Table label={t("operator.plans")} head={[t("operator.plan"), t("operator.models"), t("budget.title"), t("usage.tokens"), t("files.list")]}>
          {items.map((plan) => (
            <tr key={plan.name}>
              <td>
                <strong>{plan.name}</strong>
                <button type="button" className="text-button" aria-label={t("operator.peopleOf", { name: plan.name })} onClick={() => setOpen(plan)}>
                  {t("operator.users")}
                </button>
              </td>
              <td>{plan.models.includes("*") ? t("operator.allModels") : plan.models.join(", ")}</td>
              <td>{limits([plan.usd_per_day, "plan.day"], [plan.usd_per_month, "plan.month"])}</td>
              <td>{limits([plan.tokens_per_minute, "plan.minute"], [plan.tokens_per_day, "plan.day"], [plan.tokens_per_month, "plan.month"])}</td>
              <td>{t("plan.files", { count: count(plan.file_count), storage: bytes(plan.storage_bytes), size: bytes(plan.file_bytes) })}</td>
            </tr>
          ))}
        </Table>
      )}
      <More pages={pages} />
      {open && <People plan={open.name} onClose={() => setOpen(null)} />}
    </Card>
  );
}

/** Amounts with their periods, such as "$5 a day". */
function limits(...found: readonly (readonly [string | number | null, "plan.day" | "plan.minute" | "plan.month"])[]): string {
  const shown = found.flatMap(([limit, key]) => (limit === null ? [] : t(key, { limit: typeof limit === "number" ? count(limit) : money(limit) })));
  return shown.length ? shown.join(", ") : t("budget.unlimited");
}

function People({ plan, onClose }: { plan: string; onClose: () => void }): React.JSX.Element {
  const pages = usePages(
    async (page) => {
      const query = { plan, limit: 50, ...page };
      return (await api.GET("/api/v1/admin/users", { params: { query } })).data!;
    },
    [plan],
  );
  return (
    <Dialog wide title={t("operator.peopleOf", { name: plan })} onClose={onClose}>
      {pages.items === null && <Unread {...pages} />}
      {pages.items?.length === 0 && <p className="quiet">{t("operator.noUsers")}</p>}
      <ul className="rows">
        {pages.items?.map((user: User) => (
          <li key={user.id}>
            <div>
              <strong>{user.username}</strong>
              <p className="quiet">{user.email ?? user.display_name ?? ""}</p>
            </div>
            <StatusBadge status={user.status} />
          </li>
        ))}
      </ul>
      <More pages={pages} />
    </Dialog>
  );
}
