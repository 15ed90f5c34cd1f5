import { useEffect, useState } from "react";

import { erasure, ErasureProgress } from "../account/erasure";
import { AuthView } from "../auth/AuthView";
import { ChatView, useConversations } from "../chat/ChatView";
import { Sidebar } from "../chat/Sidebar";
import { t, useLanguage } from "../i18n";
import { IconButton, Loading } from "../ui/controls";
import { resumeSession, viewer } from "./client";
import { PasswordQuestion } from "./confirm";
import { ErrorBoundary } from "./ErrorBoundary";
import { describe, Toasts } from "./feedback";
import { LazyPage } from "./LazyPage";
import { usePlace } from "./router";
import { useSideMenu } from "./sideMenu";
import { useStore } from "./store";

/** Pages by the first segment of their place; every other place is one of the chat. */
const PAGES = new Map([
  ["account", () => import("../account/AccountView")],
  ["operator", () => import("../operator/OperatorView")],
]);

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
  const [page = ""] = place;
  const load = PAGES.get(page);
  const menu = useSideMenu(place);
  return (
    <div className={menu.open ? "main open" : "main"} ref={menu.root} onKeyDown={menu.onKeyDown}>
      <Sidebar onNavigate={menu.close} />
      <button type="button" className="scrim" aria-label={t("nav.closeMenu")} tabIndex={menu.open ? 0 : -1} onClick={menu.close} />
      <main className="content" inert={menu.open}>
        <div className="topbar">
          <IconButton ref={menu.button} icon="menu" label={t("nav.openMenu")} expanded={menu.open} onClick={menu.show} />
          <span className="brand">Parley</span>
        </div>
        <ErrorBoundary key={load ? page : "chat"}>{load ? <LazyPage load={load} /> : <ChatView />}</ErrorBoundary>
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
