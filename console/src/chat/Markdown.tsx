import { lazy, memo, Suspense, useId, useRef, useState, type ComponentProps, type ReactNode } from "react";
import ReactMarkdown, { type Options } from "react-markdown";
import rehypeHighlight from "rehype-highlight";
import remarkGfm from "remark-gfm";
import remarkMath from "remark-math";

import { t } from "../i18n";
import { Copy } from "../ui/controls";
import { focusOnce } from "../ui/keepFocus";
import { textDirection } from "./direction";
import { hasMath, normalizeMath } from "./math";

/** Loaded with the first formula. Without it, formulas stay as they were written. */
const Formula = lazy(() => import("./Formula").catch(() => ({ default: ({ tex }: { tex: string }) => <code>{tex}</code> })));
const REMARK: Options["remarkPlugins"] = [remarkGfm];
const REMARK_MATH: Options["remarkPlugins"] = [remarkGfm, [remarkMath, { singleDollarTextMath: false }]];
const REHYPE: Options["rehypePlugins"] = [textDirection, [rehypeHighlight, { plainText: ["math"] }]];
const COMPONENTS = {
  pre: CodeBlock,
  code: ({ className, children }: ComponentProps<"code">) =>
    className?.includes("math-inline") ? <MathText tex={String(children)} displayed={false} /> : <code dir="ltr" className={className}>{children}</code>,
  a: (props: FootnoteLink) => (props["data-footnote-ref"] || "data-footnote-backref" in props ? <Footnote {...props} /> : <Link href={props.href}>{props.children}</Link>),
  // An image would tell its server that and when the answer is read.
  img: (props: ComponentProps<"img">) => <Link href={props.src}>{props.alt || props.src}</Link>,
  // The heading of the footnotes has the same id in each message.
  h2: (props: ComponentProps<"h2">) => (
    <h2 className={props.className} dir={props.dir}>
      {props.children}
    </h2>
  ),
  input: ({ checked }: ComponentProps<"input">) => <input type="checkbox" checked={checked} disabled readOnly aria-label={t(checked ? "chat.taskDone" : "chat.taskOpen")} />,
  table: (props: ComponentProps<"table">) => (
    <div className="table-scroll" tabIndex={0} role="group" aria-label={t("chat.table")}>
      <table dir={props.dir}>{props.children}</table>
    </div>
  ),
};

/** Markdown as elements: HTML in the text is shown as text, and addresses are limited to safe schemes. */
const Markdown = memo(function Markdown({ text }: { text: string }): React.JSX.Element {
  const formulas = hasMath(text);
  const footnotes = {
    clobberPrefix: useId(), // other messages have footnotes of the same names
    footnoteLabel: t("chat.footnotes"),
    footnoteLabelProperties: { className: ["visually-hidden"] },
    footnoteBackLabel: t("chat.footnoteBack"),
  };
  return (
    <div className="markdown">
      <ReactMarkdown remarkPlugins={formulas ? REMARK_MATH : REMARK} remarkRehypeOptions={footnotes} rehypePlugins={REHYPE} components={COMPONENTS}>
        {formulas ? normalizeMath(text) : text}
      </ReactMarkdown>
    </div>
  );
});

export default Markdown;

/** A link to another site. What has no safe address, or leads to a place that no message has, stays text. */
function Link({ href, children }: { href: string | undefined; children: ReactNode }): React.JSX.Element {
  if (!href || href.startsWith("#")) return <>{children}</>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

type FootnoteLink = ComponentProps<"a"> & { "data-footnote-ref"?: boolean };

/** The mark of a footnote, or the way back to it. A link would change the place of the page. */
function Footnote(props: FootnoteLink): React.JSX.Element {
  const jump = (): void => {
    const target = document.getElementById(props.href!.slice(1));
    target?.scrollIntoView({ block: "nearest" });
    if (target) focusOnce(target);
  };
  const label = props["data-footnote-ref"] ? t("chat.footnote", { number: String(props.children) }) : props["aria-label"];
  return (
    <button type="button" className="footnote" id={props.id} aria-label={label} onClick={jump}>
      {props.children}
    </button>
  );
}

function MathText({ tex, displayed }: { tex: string; displayed: boolean }): React.JSX.Element {
  return (
    <Suspense fallback={<code>{tex}</code>}>
      <Formula tex={tex} displayed={displayed} />
    </Suspense>
  );
}

function CodeBlock(props: ComponentProps<"pre">): React.JSX.Element {
  const ref = useRef<HTMLPreElement>(null);
  const [wrap, setWrap] = useState(false);
  const child = props.children as { props?: { className?: string; children?: unknown } } | undefined;
  if (child?.props?.className?.includes("math-display")) return <MathText tex={String(child.props.children)} displayed />;
  const language = /language-([\w+#-]+)/.exec(child?.props?.className ?? "")?.[1] ?? "";
  return (
    <div className="code-block" dir="ltr">
      <header>
        <span>{language || t("chat.code")}</span>
        <button type="button" className="text-button" aria-pressed={wrap} onClick={() => setWrap(!wrap)}>
          {t("chat.wrap")}
        </button>
        <Copy text={() => ref.current?.textContent ?? ""} label={t("chat.copyCode")} />
      </header>
      <pre ref={ref} className={wrap ? "wrap" : undefined} tabIndex={0} aria-label={t("chat.codeIn", { language: language || t("chat.code") })}>
        {props.children}
      </pre>
    </div>
  );
}
