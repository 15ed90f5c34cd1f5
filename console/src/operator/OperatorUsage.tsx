import { UsageView, type Range, type Reports } from "../account/Usage";
import { api } from "../app/client";

/** The usage of everybody, by person, model and day. */
export function OperatorUsage(): React.JSX.Element {
  return <UsageView read={read} />;
}

async function read(range: Range): Promise<Reports> {
  const [byDay, byModel, byUser] = await Promise.all(
    (["day", "model", "user"] as const).map((group) => api.GET("/api/v1/admin/usage", { params: { query: { ...range, group } } })),
  );
  const report = byUser!.data!;
  const names = new Map(report.data.map((each) => [each.key ?? "", each.username ?? each.key ?? ""]));
  return { byDay: byDay!.data!, byModel: byModel!.data!, byUser: { report, names } };
}
