import { api } from "../app/client";
import { useLoaded } from "../app/loading";
import { t } from "../i18n";
import { Field, Select } from "../ui/controls";

const MOST_CHOICES = 100;

/** The plan of a person: one of the configured plans, or its name where they cannot be read or are too many. */
export function PlanChoice({ plan, onChange }: { plan: string; onChange: (plan: string) => void }): React.JSX.Element {
  const [names, { error }] = useLoaded(async () => {
    const { data } = await api.GET("/api/v1/admin/plans", { params: { query: { limit: MOST_CHOICES } } });
    return data!.next_cursor === null ? data!.data.map((each) => each.name) : [];
  });
  if (names === null && error === null) return <Select label={t("operator.plan")} value={plan} options={[[plan, plan]]} onChange={onChange} />;
  if (!names?.length) return <Field label={t("operator.plan")} value={plan} onChange={onChange} />;
  const options = names.includes(plan) ? names : [plan, ...names];
  return <Select label={t("operator.plan")} value={plan} options={options.map((name) => [name, name] as const)} onChange={onChange} />;
}
