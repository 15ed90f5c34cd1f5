import { UsageView, type Range, type Reports } from "../account/Usage";
import { api } from "../app/client";

/** Names that are read for the table of persons; the others are shown by their id. */
const MOST_NAMES = 50;

/** The usage of everybody, by person, model and day. */
export function OperatorUsage(): React.JSX.Element {
  return <UsageView read={read} />;
}

async function read(range: Range): Promise<Reports> {
  const [byDay, byModel, byUser] = await Promise.all(
    (["day", "model", "user"] as const).map((group) => api.GET("/api/v1/admin/usage", { params: { query: { ...range, group } } })),
  );
  const report = byUser!.data!;
  const ids = report.data.flatMap((each) => (each.key ? [each.key] : []));
  return { byDay: byDay!.data!, byModel: byModel!.data!, byUser: { report, names: await namesOf(ids.slice(0, MOST_NAMES)) } };
}

async function namesOf(ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = await Promise.all(
    ids.map(async (id) => {
      try {
        const { data } = await api.GET("/api/v1/admin/users/{user_id}", { params: { path: { user_id: id } } });
        return [id, data!.username] as const;
      } catch {
        return [id, id] as const; // erased, or not readable now
      }
    }),
  );
  return new Map(found);
}
