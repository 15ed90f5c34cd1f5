import { t } from "../i18n";

/** The scopes that an operator grants or takes away; every account has the others. */
const CHOICES = [
  ["admin", "operator.administrator", "operator.administratorHint"],
  ["webhooks", "operator.mayWebhooks", "operator.mayWebhooksHint"],
] as const;
export const USUAL_SCOPES = ["account", "chat:write", "events:read", "history:read", "history:write"] as const;

/** Checkboxes for what a person may do beyond chatting. */
export function ScopeChoices(props: { scopes: readonly string[]; onChange: (scopes: string[]) => void }): React.JSX.Element {
  const { scopes } = props;
  const toggle = (scope: string): void =>
    props.onChange(scopes.includes(scope) ? scopes.filter((each) => each !== scope) : [...scopes, scope]);
  return (
    <fieldset className="field">
      <legend>{t("operator.roles")}</legend>
      {CHOICES.map(([scope, name, hint]) => (
        <label key={scope} className="check">
          <input type="checkbox" checked={scopes.includes(scope)} onChange={() => toggle(scope)} />
          <span>
            {t(name)} <small className="hint">{t(hint)}</small>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
