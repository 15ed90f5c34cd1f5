import { lazy, Suspense, useCallback, useEffect, useState } from "react";

import { erasure, ErasureProgress } from "../account/erasure";
import { AuthView } from "../auth/AuthView";
import { ChatView, useConversations } from "../chat/ChatView";
import { Sidebar } from "../chat/Sidebar";
import { t, useLanguage } from "../i18n";
import { IconButton, Loading } from "../ui/controls";
import { resumeSession, viewer } from "./client";
import { PasswordQuestion } from "./confirm";
import { describe, Toasts } from "./feedback";
import { usePlace } from "./router";
import { useStore } from "./store";

const AccountView = lazy(() => import("../account/AccountView"));
const OperatorView = lazy(() => import("../operator/OperatorView"));

export function App(): React.JSX.Element {
  const found = useStore(viewer);
  const language = useLanguage();
  const erasing = useStore(erasure) !== null;
  const [failed, setFailed] = useState<string | null>(null);
  const start = (): void => {
    setFailed(null);
    resumeSession().catch((error: unknown) => setFailed(describe(error)));
  };
  useEffect(start, []);
  return (
    <div className="app" key={language}>
      {found.state === "unknown" && (failed ? <Unreachable text={failed} onRetry={start} /> : <Loading />)}
      {erasing && <ErasureProgress />}
      {!erasing && found.state === "out" && <AuthView expired={found.expired} />}
      {!erasing && found.state === "in" && <Main />}
      <PasswordQuestion />
      <Toasts />
    </div>
  );
}

function Main(): React.JSX.Element {
  useConversations();
  const place = usePlace();
  const [page] = place;
  const [open, setOpen] = useState(false);
  const close = useCallback(() => setOpen(false), []);
  useEffect(() => setOpen(false), [place]);
  return (
    <div className={open ? "main open" : "main"}>
      <Sidebar onNavigate={close} />
      <button type="button" className="scrim" aria-label={t("nav.closeMenu")} tabIndex={open ? 0 : -1} onClick={close} />
      <main className="content">
        <div className="topbar">
          <IconButton icon="menu" label={t("nav.openMenu")} onClick={() => setOpen(true)} />
          <span className="brand">Parley</span>
        </div>
        <Suspense fallback={<Loading />}>
          {page === "account" ? <AccountView /> : page === "operator" ? <OperatorView /> : <ChatView />}
        </Suspense>
      </main>
    </div>
  );
}

function Unreachable({ text, onRetry }: { text: string; onRetry: () => void }): React.JSX.Element {
  return (
    <main className="empty">
      <h1>Parley</h1>
      <p role="alert">{text}</p>
      <button type="button" className="button primary" onClick={onRetry}>
        {t("action.retry")}
      </button>
    </main>
  );
}
