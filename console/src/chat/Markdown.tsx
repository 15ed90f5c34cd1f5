import { memo, useRef, useState, type ComponentProps } from "react";
import ReactMarkdown from "react-markdown";
import rehypeHighlight from "rehype-highlight";
import remarkGfm from "remark-gfm";

import { t } from "../i18n";
import { Copy } from "../ui/controls";

const REMARK = [remarkGfm];
const REHYPE = [rehypeHighlight];
const COMPONENTS = {
  pre: CodeBlock,
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
      <table>{props.children}</table>
    </div>
  ),
};

/** Markdown as elements: HTML in the text is shown as text, and addresses are limited to safe schemes. */
const Markdown = memo(function Markdown({ text }: { text: string }): React.JSX.Element {
  return (
    <div className="markdown">
      <ReactMarkdown remarkPlugins={REMARK} rehypePlugins={REHYPE} components={COMPONENTS}>
        {text}
      </ReactMarkdown>
    </div>
  );
});

export default Markdown;

function CodeBlock(props: ComponentProps<"pre">): React.JSX.Element {
  const ref = useRef<HTMLPreElement>(null);
  const [wrap, setWrap] = useState(false);
  const child = props.children as { props?: { className?: string } } | undefined;
  const language = /language-([\w+#-]+)/.exec(child?.props?.className ?? "")?.[1] ?? "";
  return (
    <div className="code-block">
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
