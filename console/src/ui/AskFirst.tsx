import { useState, type ReactNode } from "react";

import { t } from "../i18n";

/** A lasting action that asks once more; a key that is held down answers no. `children` makes the button that asks; `label` names what the answer is about. */
export function AskFirst(props: { sure: string; label?: string; onSure: () => void; small?: boolean; children: (ask: () => void) => ReactNode }): React.JSX.Element {
  const [asked, setAsked] = useState(false);
  const size = props.small ? " small" : "";
  if (!asked) return <>{props.children(() => setAsked(true))}</>;
  return (
    <span className="row" role="group" aria-label={props.label}>
      <button type="button" className={`button danger${size}`} onClick={props.onSure}>
        {props.sure}
      </button>
      <button type="button" className={`button${size}`} autoFocus onClick={() => setAsked(false)}>
        {t("action.cancel")}
      </button>
    </span>
  );
}
