import { useEffect, useRef, type ReactNode } from "react";

import { href } from "../app/router";
import { useTitle } from "../app/title";
import { Icon, type IconName } from "./Icon";

export interface Tab {
  id: string;
  icon: IconName;
  label: string;
  view: () => React.JSX.Element | null;
}

/** A page with tabs; `root` is the first segment of their places. */
export function TabbedPage(props: { title: string; root: string; tabs: readonly Tab[]; current: string | undefined }): React.JSX.Element {
  const tab = props.tabs.find((each) => each.id === props.current) ?? props.tabs[0]!;
  const View = tab.view;
  useTitle(tab.label);
  const tabs = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a phone, the tabs scroll sideways.
    tabs.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [tab.id]);
  return (
    <div className="page" tabIndex={0} role="region" aria-label={props.title}>
      <div className="page-inner">
        <h1>{props.title}</h1>
        <nav className="tabs" ref={tabs} aria-label={props.title}>
          {props.tabs.map((each) => (
            <a key={each.id} href={href(props.root, each.id)} aria-current={each.id === tab.id ? "page" : undefined}>
              <Icon name={each.icon} size={16} />
              {each.label}
            </a>
          ))}
        </nav>
        <View key={tab.id} />
      </div>
    </div>
  );
}

/** A block of a page. */
export function Card(props: { title?: string; text?: string; children: ReactNode; bad?: boolean; actions?: ReactNode }): React.JSX.Element {
  return (
    <section className={props.bad ? "card bad" : "card"}>
      {(props.title || props.actions) && (
        <header>
          <div>
            {props.title && <h2>{props.title}</h2>}
            {props.text && <p className="quiet">{props.text}</p>}
          </div>
          {props.actions}
        </header>
      )}
      {props.children}
    </section>
  );
}

/** A table that scrolls on narrow screens. */
export function Table(props: { label: string; head: readonly string[]; children: ReactNode; numbersFrom?: number }): React.JSX.Element {
  const from = props.numbersFrom ?? props.head.length;
  return (
    <div className="table" tabIndex={0} role="region" aria-label={props.label}>
      <table>
        <thead>
          <tr>
            {props.head.map((text, index) => (
              <th key={text || index} scope="col" className={index >= from ? "number" : undefined}>
                {text || <span className="visually-hidden">{props.label}</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{props.children}</tbody>
      </table>
    </div>
  );
}

/** A word in a pill. */
export function Badge({ text, look }: { text: string; look: "good" | "bad" | "" }): React.JSX.Element {
  return <span className={`badge ${look}`}>{text}</span>;
}

/** A secret that is shown once, with a button to copy it. */
export function Secret(props: { text: string; value: string; copy: ReactNode }): React.JSX.Element {
  return (
    <div className="secret" role="status">
      <p>{props.text}</p>
      <div className="secret-value">
        <code>{props.value}</code>
        {props.copy}
      </div>
    </div>
  );
}
