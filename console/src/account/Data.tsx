import { useState } from "react";

import { api, viewer } from "../app/client";
import { confirmed } from "../app/confirm";
import { clearDrafts } from "../app/drafts";
import { describe } from "../app/feedback";
import { useStore } from "../app/store";
import { exportAll } from "../chat/transfer";
import { t } from "../i18n";
import { Field, Form } from "../ui/controls";
import { Icon } from "../ui/Icon";
import { Card } from "../ui/Page";
import { erasure, type Erasure } from "./erasure";

export function Data(): React.JSX.Element | null {
  const found = useStore(viewer);
  const [typed, setTyped] = useState("");
  if (found.state !== "in") return null;
  const erase = async (): Promise<void> => {
    const { data } = await confirmed(() => api.DELETE("/api/v1/auth/me"));
    clearDrafts();
    erasure.set(data! as Erasure);
  };
  return (
    <>
      <Card title={t("account.export")} text={t("account.exportText")}>
        <button type="button" className="button" onClick={() => void exportAll()}>
          <Icon name="download" size={16} />
          {t("account.export")}
        </button>
      </Card>
      <Card bad title={t("account.erase")} text={t("account.eraseText")}>
        <Form bad submit={t("account.erase")} describe={describe} onSubmit={erase} disabled={typed !== found.user.username}>
          <Field label={t("account.eraseConfirm")} value={typed} onChange={setTyped} />
        </Form>
      </Card>
    </>
  );
}
