import { viewer } from "../app/client";
import { href, usePlace } from "../app/router";
import { useStore } from "../app/store";
import { useTitle } from "../app/title";
import { t } from "../i18n";
import { TabbedPage } from "../ui/Page";
import { AuditLog } from "./AuditLog";
import { Events } from "./Events";
import { Models } from "./Models";
import { OperatorUsage } from "./OperatorUsage";
import { Plans } from "./Plans";
import { Services } from "./Services";
import { Users } from "./Users";

/** The pages of an administrator. */
export default function OperatorView(): React.JSX.Element | null {
  const tab = usePlace()[1];
  const found = useStore(viewer);
  if (found.state !== "in") return null;
  if (!found.scopes.has("admin")) return <Forbidden />;
  return (
    <TabbedPage
      title={t("operator.title")}
      root="operator"
      current={tab}
      tabs={[
        { id: "users", icon: "users", label: t("operator.users"), view: Users },
        { id: "usage", icon: "chart", label: t("account.usage"), view: OperatorUsage },
        { id: "plans", icon: "key", label: t("operator.plans"), view: Plans },
        { id: "audit", icon: "clock", label: t("operator.audit"), view: AuditLog },
        { id: "events", icon: "send", label: t("events.title"), view: Events },
        { id: "models", icon: "cube", label: t("operator.models"), view: Models },
        { id: "status", icon: "heart", label: t("operator.status"), view: Services },
      ]}
    />
  );
}

function Forbidden(): React.JSX.Element {
  useTitle(t("operator.forbidden"));
  return (
    <div className="empty">
      <h1>{t("operator.forbidden")}</h1>
      <p>{t("operator.forbiddenText")}</p>
      <a className="button primary" href={href()}>
        {t("chat.new")}
      </a>
    </div>
  );
}
