import type { components } from "@parley/client";

import { t } from "../i18n";
import { browser } from "./browser";

type Session = components["schemas"]["SessionView"];

/** Sessions by browser, with a button to end each except the current one. */
export function SessionRows(props: {
  sessions: readonly Session[];
  /** What is known of a session besides its browser and address. */
  facts: (session: Session) => string;
  /** The label of the button, where it must name the browser. */
  endLabel?: (name: string) => string;
  onEnd: (id: string) => void;
}): React.JSX.Element {
  return (
    <ul className="rows">
      {props.sessions.map((each) => {
        const name = browser(each.user_agent) ?? each.client_id;
        return (
          <li key={each.id}>
            <div>
              <strong>{name}</strong>
              {each.current && <span className="badge good">{t("account.thisSession")}</span>}
              <p className="quiet">{[each.ip, props.facts(each)].filter(Boolean).join(" · ")}</p>
            </div>
            {!each.current && (
              <button type="button" className="button small" aria-label={props.endLabel?.(name)} onClick={() => props.onEnd(each.id)}>
                {t("account.end")}
              </button>
            )}
          </li>
        );
      })}
    </ul>
  );
}
