import type { components } from "@parley/client";

import { t } from "../i18n";
import { money, moment } from "../i18n/format";

type Budget = components["schemas"]["BudgetResource"];

export function isLimited(budget: Budget): boolean {
  return Boolean(budget.day?.limit ?? budget.month?.limit);
}

/** What is left of the budgets of the day and the month. */
export function BudgetPeriods({ budget }: { budget: Budget }): React.JSX.Element {
  return (
    <>
      <Left label={t("budget.day")} period={budget.day} />
      <Left label={t("budget.month")} period={budget.month} />
    </>
  );
}

function Left({ label, period }: { label: string; period: components["schemas"]["BudgetPeriod"] | null }): React.JSX.Element | null {
  if (period === null || period.limit === null) return null;
  const spent = Number(period.used) + Number(period.reserved);
  return (
    <div className="budget">
      <span>{label}</span>
      <meter min={0} max={Number(period.limit)} value={spent} aria-label={label} />
      <span className="quiet">
        {t("budget.left", { left: money(period.remaining), limit: money(period.limit), date: moment(period.resets_at) })}
      </span>
    </div>
  );
}
