import katex, { type KatexOptions } from "katex";
import { useLayoutEffect, useRef } from "react";

import { t } from "../i18n";

/**
 * MathML only. No macro may expand without end, and no rule may cover the page. Two commands would set a `style`, which
 * the policy of the page forbids; so would the red text of an error.
 */
const OPTIONS: KatexOptions = { output: "mathml", throwOnError: true, trust: false, strict: "ignore", maxExpand: 500, maxSize: 20 };
const WITHOUT_STYLE = { "\\fcolorbox": "\\textcolor{#1}{}\\colorbox{#2}{#3}", "\\pmb": "\\boldsymbol{#1}" };

/** A formula as MathML, which the browser draws and reads aloud without fonts or style sheets of ours. */
export default function Formula({ tex, displayed }: { tex: string; displayed: boolean }): React.JSX.Element {
  const ref = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const element = ref.current!;
    try {
      katex.render(tex, element, { ...OPTIONS, displayMode: displayed, macros: { ...WITHOUT_STYLE } });
    } catch {
      element.textContent = tex; // not TeX, or not complete yet
    }
  }, [tex, displayed]);
  if (!displayed) return <span ref={ref} />;
  return <span className="formula" ref={ref} tabIndex={0} role="group" aria-label={t("chat.formula")} />;
}
