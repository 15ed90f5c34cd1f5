import { lazy, memo, Suspense, useRef, useState, type ComponentProps } from "react";
import ReactMarkdown, { type Options } from "react-markdown";
import rehypeHighlight from "rehype-highlight";
import remarkGfm from "remark-gfm";
import remarkMath from "remark-math";

import { t } from "../i18n";
import { Copy } from "../ui/controls";
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
  a: (props: ComponentProps<"a">) => (
    <a href={props.href} target="_blank" rel="noopener noreferrer nofollow">
      {props.children}
    </a>
  ),
  // An image would tell its server that and when the answer is read.
  img: (props: ComponentProps<"img">) => (
    <a href={props.src} target="_blank" rel="noopener noreferrer nofollow">
      {props.alt || props.src}
    </a>
  ),
  table: (props: ComponentProps<"table">) => (
    <div className="table-scroll" tabIndex={0} role="group" aria-label={t("chat.table")}>
      <table dir={props.dir}>{props.children}</table>
    </div>
  ),
};

/** Markdown as elements: HTML in the text is shown as text, and addresses are limited to safe schemes. */
const Markdown = memo(function Markdown({ text }: { text: string }): React.JSX.Element {
  const formulas = hasMath(text);
  return (
    <div className="markdown">
      <ReactMarkdown remarkPlugins={formulas ? REMARK_MATH : REMARK} rehypePlugins={REHYPE} components={COMPONENTS}>
        {formulas ? normalizeMath(text) : text}
      </ReactMarkdown>
    </div>
  );
});

export default Markdown;

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
