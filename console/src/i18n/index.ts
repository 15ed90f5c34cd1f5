import { preferences } from "../app/preferences";
import { useStore } from "../app/store";
import { en } from "./en";
import { zh } from "./zh";

export type Key = keyof typeof en;
const texts = { en, zh };

/** The text of a key in the chosen language; `{name}` is replaced. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const text: string = texts[preferences.get().language][key];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** Render again when the language changes. */
export function useLanguage(): "en" | "zh" {
  return useStore(preferences).language;
}

export function locale(): string {
  return preferences.get().language === "zh" ? "zh-CN" : "en-GB";
}
