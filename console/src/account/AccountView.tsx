import { viewer } from "../app/client";
import { usePlace } from "../app/router";
import { useStore } from "../app/store";
import { t } from "../i18n";
import { TabbedPage } from "../ui/Page";
import { OwnWebhooks } from "../webhooks/Webhooks";
import { ApiKeys } from "./ApiKeys";
import { Data } from "./Data";
import { Preferences, Profile } from "./Profile";
import { Security } from "./Security";
import { UsageReport } from "./Usage";

/** The pages of a person about the own account. */
export default function AccountView(): React.JSX.Element {
  const tab = usePlace()[1];
  const found = useStore(viewer);
  const webhooks = found.state === "in" && found.scopes.has("webhooks");
  return (
    <TabbedPage
      title={t("account.title")}
      root="account"
      current={tab}
      tabs={[
        { id: "profile", icon: "user", label: t("account.profile"), view: Profile },
        { id: "preferences", icon: "sliders", label: t("account.preferences"), view: Preferences },
        { id: "security", icon: "shield", label: t("account.security"), view: Security },
        { id: "keys", icon: "key", label: t("account.keys"), view: ApiKeys },
        ...(webhooks ? [{ id: "webhooks", icon: "send", label: t("events.webhooks"), view: OwnWebhooks } as const] : []),
        { id: "usage", icon: "chart", label: t("account.usage"), view: UsageReport },
        { id: "data", icon: "download", label: t("account.data"), view: Data },
      ]}
    />
  );
}
