import katex from "katex";
import { useLayoutEffect, useRef } from "react";

import { t } from "../i18n";

/** Limits of a formula: no macro may expand without end, no rule may cover the page. */
const OPTIONS = { output: "mathml", throwOnError: false, trust: false, strict: "ignore", maxExpand: 500, maxSize: 20 } as const;

/** A formula as MathML, which the browser draws and reads aloud without fonts or style sheets of ours. */
export default function Formula({ tex, displayed }: { tex: string; displayed: boolean }): React.JSX.Element {
  const ref = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    if (ref.current) katex.render(tex, ref.current, { ...OPTIONS, displayMode: displayed });
  }, [tex, displayed]);
  if (!displayed) return <span ref={ref} />;
  return <span className="formula" ref={ref} tabIndex={0} role="group" aria-label={t("chat.formula")} />;
}
