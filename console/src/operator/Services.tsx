import { Unread } from "../app/loading";
import { t } from "../i18n";
import { duration } from "../i18n/format";
import { Badge, Card } from "../ui/Page";
import { useServices, type Service } from "./serviceState";

/** Each service as the gateway reaches it, and what it says about the servers that it needs. */
export function Services(): React.JSX.Element {
  const [services, reading] = useServices();
  return (
    <Card title={t("operator.status")} text={t("operator.statusText")}>
      {services === null ? (
        <Unread {...reading} />
      ) : (
        <ul className="rows">
          {services.map((each) => (
            <Row key={each.name} service={each} />
          ))}
        </ul>
      )}
    </Card>
  );
}

function Row({ service: { name, ms, status } }: { service: Service }): React.JSX.Element {
  if (status === null) {
    return (
      <li>
        <strong>{name}</strong>
        <Badge text={t("operator.silent")} look="bad" />
      </li>
    );
  }
  const down = status.dependencies.filter((each) => each.status === "down");
  return (
    <li>
      <div>
        <strong>{name}</strong>
        <p className="quiet">
          {t("operator.version", { version: status.version })} · {t("operator.uptime", { time: duration(status.uptime_s) })} · {t("operator.responds", { ms })}
        </p>
        <p className="quiet">
          {down.length
            ? down.map((each) => t("operator.isDown", { name: each.name, reason: each.detail ?? "–" })).join(" · ")
            : t("operator.allUp", { names: status.dependencies.map((each) => each.name).join(", ") })}
        </p>
      </div>
      <Badge text={t(down.length ? "operator.degraded" : "operator.healthy")} look={down.length ? "bad" : "good"} />
    </li>
  );
}
