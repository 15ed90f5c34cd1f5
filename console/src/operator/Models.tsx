import { api } from "../app/client";
import { Unread, useLoaded } from "../app/loading";
import { t } from "../i18n";
import { count } from "../i18n/format";
import { Table } from "../ui/Page";

export function Models(): React.JSX.Element {
  const [models, reading] = useLoaded(async () => (await api.GET("/api/v1/models")).data!);
  if (models === null) return <Unread {...reading} />;
  return (
    <Table label={t("operator.models")} head={[t("chat.model"), t("operator.provider"), t("operator.context"), t("operator.price"), t("operator.state")]}>
      {models.data.map((each) => (
        <tr key={each.id}>
          <td>
            <strong>{each.name}</strong> <code>{each.id}</code>
          </td>
          <td>{each.provider}</td>
          <td>{count(each.context_window)}</td>
          <td>{each.pricing ? `$${each.pricing.input_per_million} / $${each.pricing.output_per_million}` : t("usage.unknownPrice")}</td>
          <td>
            <span className={each.available ? "badge good" : "badge bad"}>{t(each.available ? "operator.available" : "chat.unavailable")}</span>
          </td>
        </tr>
      ))}
    </Table>
  );
}
