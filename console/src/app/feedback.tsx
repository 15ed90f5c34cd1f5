import { isAbort, NetworkError, ParleyError } from "@parley/client";

import { t, type Key } from "../i18n";
import { Store, useStore } from "./store";

/** Short notices at the edge of the page, with at most one action each. */
interface Toast {
  id: number;
  text: string;
  bad: boolean;
  action?: { label: string; run: () => void } | undefined;
}

const SHOWN_MS = 6000;
const MOST_TOASTS = 3;
/** Texts of the errors that a message with files meets. */
const FILE_ERRORS: Readonly<Record<string, Key>> = {
  file_encrypted: "files.encrypted",
  file_not_found: "files.gone",
  file_too_long: "files.tooLong",
  file_unreadable: "files.damaged",
  file_without_text: "files.noText",
  unsupported_content: "files.unreadable",
};
const toasts = new Store<readonly Toast[]>([]);
let next = 1;

export function notify(text: string, options: { bad?: boolean; action?: Toast["action"] } = {}): () => void {
  const id = next++;
  toasts.set((before) => [...before, { id, text, bad: options.bad ?? false, action: options.action }].slice(-MOST_TOASTS));
  const close = (): void => toasts.set((before) => before.filter((toast) => toast.id !== id));
  setTimeout(close, SHOWN_MS);
  return close;
}

export function notifyError(error: unknown): void {
  if (isAbort(error)) return;
  notify(describe(error), { bad: true });
}

/** Say what happened, for a person. */
export function describe(error: unknown): string {
  if (error instanceof NetworkError) return navigator.onLine ? t("error.unreachable") : t("error.offline");
  if (error instanceof ParleyError) {
    if (error.code === "invalid_grant") return t("error.login");
    if (error.code === "registration_closed") return t("error.registrationClosed");
    if (error.code === "quota_exceeded") return t("error.quota");
    const ofFile = FILE_ERRORS[error.code];
    if (ofFile) return `${t(ofFile)} (${error.code})`;
    if (error.status === 429) return t("error.rateLimited", { seconds: Math.ceil(error.retryAfter ?? 1) });
    if (error.fields.length) return error.fields.map((field) => field.detail).join(" ");
    return error.message;
  }
  return t("error.unexpected");
}

export function Toasts(): React.JSX.Element {
  const shown = useStore(toasts);
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map((toast) => (
        <div key={toast.id} className={toast.bad ? "toast bad" : "toast"}>
          <span>{toast.text}</span>
          {toast.action && (
            <button
              type="button"
              onClick={() => {
                toast.action!.run();
                toasts.set((before) => before.filter((each) => each.id !== toast.id));
              }}
            >
              {toast.action.label}
            </button>
          )}
        </div>
      ))}
    </div>
  );
}
