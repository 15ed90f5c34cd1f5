import { createContext, useContext, useEffect, useId, useLayoutEffect, useRef, useState, type ReactNode } from "react";

import { isAbort, ParleyError } from "@parley/client";

import { t } from "../i18n";
import { Icon, type IconName } from "./Icon";

/** A button that shows only an icon. A disabled one keeps the focus, which may come from the press that disabled it. */
export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick?: () => void;
  pressed?: boolean;
  expanded?: boolean;
  disabled?: boolean;
  size?: number;
  className?: string;
  ref?: React.Ref<HTMLButtonElement>;
}): React.JSX.Element {
  return (
    <button
      ref={props.ref}
      type="button"
      className={`icon-button ${props.className ?? ""}`}
      aria-label={props.label}
      title={props.label}
      aria-pressed={props.pressed}
      aria-expanded={props.expanded}
      aria-disabled={props.disabled || undefined}
      onClick={props.disabled ? undefined : props.onClick}
    >
      <Icon name={props.icon} size={props.size ?? 18} />
    </button>
  );
}

/** The faults of a form's fields by JSON pointer, and the pointers of the fields that show them. */
const FormFaults = createContext<{ faults: ReadonlyMap<string, string>; shown: Set<string> } | null>(null);

/** A labelled input with an optional hint. `member` of the request body: the form shows its faults here. */
export function Field(props: {
  label: string;
  member?: string;
  type?: string;
  value: string;
  onChange: (value: string) => void;
  hint?: string;
  autoComplete?: string;
  required?: boolean;
  minLength?: number;
  autoFocus?: boolean;
}): React.JSX.Element {
  const id = useId();
  const form = useContext(FormFaults);
  const pointer = props.member ? `/${props.member}` : null;
  const fault = pointer ? form?.faults.get(pointer) : undefined;
  useEffect(() => {
    if (!form || !pointer) return;
    form.shown.add(pointer);
    return () => void form.shown.delete(pointer);
  }, [form?.shown, pointer]);
  const notes = [props.hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>{props.label}</label>
      <input
        id={id}
        type={props.type ?? "text"}
        value={props.value}
        onChange={(event) => props.onChange(event.target.value)}
        autoComplete={props.autoComplete ?? "off"}
        required={props.required}
        minLength={props.minLength}
        autoFocus={props.autoFocus}
        aria-describedby={notes || undefined}
        aria-invalid={fault ? true : undefined}
        spellCheck={false}
        autoCapitalize="none"
      />
      {props.hint && (
        <p className="hint" id={`${id}-hint`}>
          {props.hint}
        </p>
      )}
      {fault && (
        <p className="form-error" id={`${id}-fault`} role="alert">
          {fault}
        </p>
      )}
    </div>
  );
}

/** A labelled choice. */
export function Select(props: {
  label: string;
  value: string;
  options: readonly (readonly [value: string, label: string])[];
  onChange: (value: string) => void;
  hidden?: boolean;
  /** Keeps the focus when the whole page is made again. */
  name?: string;
}): React.JSX.Element {
  const id = useId();
  return (
    <div className={props.hidden ? "select" : "field"}>
      <label htmlFor={id} className={props.hidden ? "visually-hidden" : undefined}>
        {props.label}
      </label>
      <select id={id} name={props.name} value={props.value} onChange={(event) => props.onChange(event.target.value)}>
        {props.options.map(([value, label]) => (
          <option key={value} value={value}>
            {label}
          </option>
        ))}
      </select>
    </div>
  );
}

/** A modal dialog. Escape and a click beside it close it. */
export function Dialog(props: { title: string; onClose: () => void; children: ReactNode; wide?: boolean }): React.JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  const title = useId();
  const [shown, setShown] = useState(false);
  useLayoutEffect(() => {
    const dialog = ref.current!;
    dialog.showModal();
    setShown(true); // a field takes the focus only in an open dialog
    return () => dialog.close(); // gives the focus back
  }, []);
  return (
    <dialog
      ref={ref}
      className={props.wide ? "dialog wide" : "dialog"}
      aria-labelledby={title}
      onClose={() => ref.current?.open === false && props.onClose()}
      onClick={(event) => event.target === ref.current && ref.current?.close()}
    >
      <div className="dialog-body">
        <header>
          <h2 id={title}>{props.title}</h2>
          <IconButton icon="close" label={t("action.close")} onClick={() => ref.current?.close()} />
        </header>
        {shown && props.children}
      </div>
    </dialog>
  );
}

/** A form whose button shows that it works, and that shows what went wrong. */
export function Form(props: {
  submit: string;
  onSubmit: () => Promise<void>;
  describe: (error: unknown) => string;
  children: ReactNode;
  bad?: boolean;
  disabled?: boolean;
}): React.JSX.Element {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const [faults, setFaults] = useState<ReadonlyMap<string, string>>(new Map());
  const shown = useRef(new Set<string>()).current;
  /** Whether the button does nothing. It is not `disabled`, which would take the focus from it. */
  const idle = busy || props.disabled === true;
  const fail = (reason: unknown): void => {
    const fields = reason instanceof ParleyError ? reason.fields : [];
    const known = fields.filter((field) => shown.has(field.pointer));
    setFaults(new Map(known.map((field) => [field.pointer, field.detail])));
    if (known.length === 0 || known.length < fields.length) setError(props.describe(reason));
  };
  const submit = async (event: React.FormEvent): Promise<void> => {
    event.preventDefault();
    if (idle) return;
    setBusy(true);
    setError(null);
    setFaults(new Map());
    try {
      await props.onSubmit();
    } catch (reason) {
      if (isAbort(reason)) return;
      fail(reason);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="form" onSubmit={(event) => void submit(event)}>
      <FormFaults.Provider value={{ faults, shown }}>{props.children}</FormFaults.Provider>
      {error && (
        <p className="form-error" role="alert">
          {error}
        </p>
      )}
      <button type="submit" className={props.bad ? "button danger" : "button primary"} aria-disabled={idle || undefined} aria-busy={busy}>
        {busy && <span className="spinner" aria-hidden="true" />}
        {props.submit}
      </button>
    </form>
  );
}

/** A value that can be copied. */
export function Copy({ text, label }: { text: string | (() => string); label: string }): React.JSX.Element {
  const [done, setDone] = useState(false);
  return (
    <IconButton
      icon={done ? "check" : "copy"}
      label={done ? t("action.copied") : label}
      size={16}
      onClick={() => {
        void copyText(typeof text === "string" ? text : text()).then(() => {
          setDone(true);
          setTimeout(() => setDone(false), 1500);
        });
      }}
    />
  );
}

/** Copy to the clipboard, also on pages without HTTPS. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** A place without content yet. */
export function Loading(): React.JSX.Element {
  return (
    <div className="loading" role="status">
      <span className="spinner" aria-hidden="true" />
      <span className="visually-hidden">{t("state.loading")}</span>
    </div>
  );
}
