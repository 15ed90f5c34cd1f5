import { useState } from "react";

import type { components } from "@parley/client";

import { api } from "../app/client";
import { Unread, useLoaded } from "../app/loading";
import { t } from "../i18n";
import { count, day, money } from "../i18n/format";
import { Select } from "../ui/controls";
import { Card, Table } from "../ui/Page";
import { BudgetPeriods, isLimited } from "./Budget";

type Group = components["schemas"]["UsageGroup"];
type Measure = "cost" | "total_tokens" | "turns";
const MEASURES = [
  ["cost", "usage.cost"],
  ["total_tokens", "usage.tokens"],
  ["turns", "usage.turns"],
] as const;
const LAST_WEEK = "week";
/** Periods to choose from: days up to today, or the week before this one. */
const PERIODS = [LAST_WEEK, "7", "30", "90"] as const;

type Report = components["schemas"]["UsageReport"];
/** A period: days in a time zone, the last one exclusive. */
export interface Range {
  from: string;
  to: string;
  tz: string;
}
/** Sums by day and by model, and by person for an operator. */
export interface Reports {
  byDay: Report;
  byModel: Report;
  byUser?: { report: Report; names: ReadonlyMap<string, string> };
}

/** The usage of the own account. */
export function UsageReport(): React.JSX.Element {
  return <UsageView read={readOwn} budgets />;
}

/** Usage of a period: sums, bars, and tables. */
export function UsageView(props: { read: (range: Range) => Promise<Reports>; budgets?: boolean }): React.JSX.Element {
  const [period, setPeriod] = useState<string>("30");
  const [measure, setMeasure] = useState<Measure>("total_tokens");
  const [report, reading] = useLoaded(() => props.read(rangeOf(period)), [period]);
  const [budget] = useLoaded(async () => (props.budgets ? (await api.GET("/api/v1/usage/budget")).data! : null));
  const total = report?.byDay.total;
  return (
    <>
      <div className="toolbar">
        <Select
          hidden
          label={t("usage.range")}
          value={period}
          options={PERIODS.map((each) => [each, each === LAST_WEEK ? t("usage.lastWeek") : t("usage.days", { days: each })] as const)}
          onChange={setPeriod}
        />
      </div>
      {!report || !total ? (
        <Unread {...reading} />
      ) : (
        <>
          <div className="tiles">
            <Tile label={t("usage.cost")} value={money(total.cost)} />
            <Tile label={t("usage.tokens")} value={count(total.total_tokens)} />
            <Tile label={t("usage.turns")} value={count(total.turns)} />
          </div>
          {budget && isLimited(budget) && (
            <Card title={t("budget.title")}>
              <BudgetPeriods budget={budget} />
            </Card>
          )}
          <Card
            title={t("usage.overTime")}
            actions={
              <div className="segments" role="group" aria-label={t("usage.overTime")}>
                {MEASURES.map(([id, label]) => (
                  <button key={id} type="button" aria-pressed={measure === id} onClick={() => setMeasure(id)}>
                    {t(label)}
                  </button>
                ))}
              </div>
            }
          >
            <Bars groups={report.byDay.data} measure={measure} />
          </Card>
          {report.byUser && (
            <Card title={t("usage.byUser")}>
              <Rows
                first={t("operator.name")}
                label={t("usage.byUser")}
                groups={report.byUser.report.data}
                name={(key) => report.byUser!.names.get(key) ?? key}
              />
            </Card>
          )}
          <Card title={t("usage.byModel")}>
            <Rows first={t("chat.model")} label={t("usage.byModel")} groups={report.byModel.data} name={(key) => key} />
          </Card>
          <Card title={t("usage.byDay")}>
            <Rows first={t("usage.day")} label={t("usage.byDay")} groups={report.byDay.data.filter((each) => each.turns > 0).reverse()} name={day} />
          </Card>
        </>
      )}
    </>
  );
}

/** The last days, today included, or the last week from Monday to Sunday, in the time zone of this device. */
function rangeOf(period: string): Range {
  const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (period !== LAST_WEEK) return { from: dayBefore(Number(period) - 1), to: dayBefore(-1), tz };
  const sinceMonday = (new Date().getDay() + 6) % 7;
  return { from: dayBefore(sinceMonday + 7), to: dayBefore(sinceMonday), tz };
}

function dayBefore(days: number): string {
  const at = new Date();
  at.setDate(at.getDate() - days);
  return new Intl.DateTimeFormat("sv-SE").format(at);
}

async function readOwn(range: Range): Promise<Reports> {
  const [byDay, byModel] = await Promise.all(
    (["day", "model"] as const).map((group) => api.GET("/api/v1/usage", { params: { query: { ...range, group } } })),
  );
  return { byDay: byDay!.data!, byModel: byModel!.data! };
}

export function Tile({ label, value }: { label: string; value: string }): React.JSX.Element {
  return (
    <div className="tile">
      <span>{label}</span>
      <strong>{value}</strong>
    </div>
  );
}

const WIDTH = 720;
const HEIGHT = 180;
const FLOOR = 22;

/** Bars by day. */
function Bars({ groups, measure }: { groups: readonly Group[]; measure: Measure }): React.JSX.Element {
  const values = groups.map((each) => Number(each[measure] ?? 0));
  const top = Math.max(...values, 0);
  const step = WIDTH / Math.max(groups.length, 1);
  const every = Math.ceil(groups.length / 8);
  const name = t(MEASURES.find(([id]) => id === measure)![1]);
  const text = (index: number): string => (measure === "cost" ? money(groups[index]!.cost) : count(values[index]!));
  return (
    <svg className="bars" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={t("usage.chart", { measure: name })}>
      <line x1={0} x2={WIDTH} y1={HEIGHT - FLOOR} y2={HEIGHT - FLOOR} />
      {groups.map((each, index) => {
        const height = top ? (values[index]! / top) * (HEIGHT - FLOOR - 14) : 0;
        return (
          <g key={each.key}>
            <rect x={index * step + step * 0.15} width={step * 0.7} y={HEIGHT - FLOOR - height} height={height} rx={Math.min(4, step * 0.2)}>
              <title>{`${day(each.key ?? "")}: ${text(index)}`}</title>
            </rect>
            {index % every === 0 && (
              <text x={index === 0 ? 0 : index * step + step / 2} y={HEIGHT - 5} textAnchor={index === 0 ? "start" : "middle"}>
                {day(each.key ?? "")}
              </text>
            )}
          </g>
        );
      })}
    </svg>
  );
}

function Rows(props: { label: string; first: string; groups: readonly Group[]; name: (key: string) => string }): React.JSX.Element {
  if (props.groups.length === 0) return <p className="quiet">{t("usage.none")}</p>;
  return (
    <Table label={props.label} head={[props.first, t("usage.turns"), t("usage.tokens"), t("usage.cost")]} numbersFrom={1}>
      {props.groups.map((each) => (
        <tr key={each.key}>
          <td>{props.name(each.key ?? "–")}</td>
          <td className="number">{count(each.turns)}</td>
          <td className="number">{count(each.total_tokens)}</td>
          <td className="number">{money(each.cost)}</td>
        </tr>
      ))}
    </Table>
  );
}
