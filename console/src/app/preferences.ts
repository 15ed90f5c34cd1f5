import { Store } from "./store";

/** Theme and language of this browser. Nothing here is secret. */
export type Theme = "system" | "light" | "dark";
export type Language = "en" | "zh";
interface Preferences {
  theme: Theme;
  language: Language;
}

const KEY = "parley.preferences";

export const preferences = new Store<Preferences>(read());

export function setPreferences(changed: Partial<Preferences>): void {
  preferences.set((before) => ({ ...before, ...changed }));
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences.get()));
  } catch {
    // Private windows may refuse; the choice then lasts until the page closes.
  }
  applyPreferences();
}

export function applyPreferences(): void {
  const { theme, language } = preferences.get();
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}

function read(): Preferences {
  const language: Language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
  try {
    return { theme: "system", language, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Preferences>) };
  } catch {
    return { theme: "system", language };
  }
}
