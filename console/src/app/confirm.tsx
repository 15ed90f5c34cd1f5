import { useState } from "react";

import { ParleyError } from "@parley/client";

import { t } from "../i18n";
import { Dialog, Field, Form } from "../ui/controls";
import { session, viewer } from "./client";
import { describe } from "./feedback";
import { Store, useStore } from "./store";

/** Lasting changes need a recent log-in: the password is asked for, and the change is made then. */
interface Question {
  done: () => void;
  cancel: (reason: Error) => void;
}

const question = new Store<Question | null>(null);

/** Run a change. When the server wants a recent log-in, ask for the password and run it again. */
export async function confirmed<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof ParleyError) || error.code !== "reauthentication_required") throw error;
  }
  await new Promise<void>((done, cancel) => question.set({ done, cancel }));
  return run();
}

export function PasswordQuestion(): React.JSX.Element | null {
  const open = useStore(question);
  const found = useStore(viewer);
  const [password, setPassword] = useState("");
  if (!open || found.state !== "in") return null;
  const close = (): void => {
    setPassword("");
    question.set(null);
  };
  return (
    <Dialog
      title={t("auth.again")}
      onClose={() => {
        open.cancel(new DOMException("cancelled", "AbortError"));
        close();
      }}
    >
      <p className="quiet">{t("auth.againText")}</p>
      <Form
        submit={t("auth.logIn")}
        describe={describe}
        onSubmit={async () => {
          await session.logInAgain(found.user.username, password);
          open.done();
          close();
        }}
      >
        <Field label={t("auth.password")} type="password" value={password} onChange={setPassword} autoComplete="current-password" required autoFocus />
      </Form>
    </Dialog>
  );
}
