import { Component, type ReactNode } from "react";

import { t } from "../i18n";

/** Shows what a person can do when a view fails. `whole`: nothing else is in the page. */
export class ErrorBoundary extends Component<{ children: ReactNode; whole?: boolean }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    const Place = this.props.whole ? "main" : "div";
    return (
      <Place className="empty">
        <h1>Parley</h1>
        <p role="alert">{t("error.unexpected")}</p>
        <button type="button" className="button primary" onClick={() => location.reload()}>
          {t("action.reload")}
        </button>
      </Place>
    );
  }
}
