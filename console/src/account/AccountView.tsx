import { usePlace } from "../app/router";
import { t } from "../i18n";
import { TabbedPage } from "../ui/Page";
import { ApiKeys } from "./ApiKeys";
import { Data } from "./Data";
import { Preferences, Profile } from "./Profile";
import { Security } from "./Security";
import { UsageReport } from "./Usage";

/** The pages of a person about the own account. */
export default function AccountView(): React.JSX.Element {
  const tab = usePlace()[1];
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
        { id: "usage", icon: "chart", label: t("account.usage"), view: UsageReport },
        { id: "data", icon: "download", label: t("account.data"), view: Data },
      ]}
    />
  );
}
