import { locale, t } from ".";

/** Numbers, money and times as people read them. */
export function count(value: number): string {
  return new Intl.NumberFormat(locale()).format(value);
}

export function percent(part: number): string {
  return new Intl.NumberFormat(locale(), { style: "percent" }).format(part);
}

/** A size in its largest unit, such as "1.2 MB". */
export function bytes(size: number): string {
  const step = Math.min(BYTE_UNITS.length - 1, size < 1 ? 0 : Math.floor(Math.log10(size) / 3));
  const style = { style: "unit", unit: BYTE_UNITS[step]!, unitDisplay: step ? "short" : "long", maximumFractionDigits: 1 } as const;
  return new Intl.NumberFormat(locale(), style).format(size / 1000 ** step);
}

const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;

/** USD with as many digits as the amount needs. */
export function money(value: string | null | undefined): string {
  if (value == null) return t("usage.unknownPrice");
  const amount = Number(value);
  if (amount === 0) return "$0";
  const digits = amount >= 1 ? 2 : amount >= 0.01 ? 4 : 6;
  return `$${amount.toFixed(digits)}`;
}

export function moment(value: string | null | undefined): string {
  if (!value) return "–";
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(value));
}

export function day(value: string): string {
  return new Intl.DateTimeFormat(locale(), { month: "short", day: "numeric", timeZone: "UTC" }).format(new Date(`${value}T00:00:00Z`));
}

/** A span of time in its largest unit, such as "3 hours". */
export function duration(seconds: number): string {
  const [size, unit] = UNITS.find(([each]) => seconds >= each) ?? UNITS.at(-1)!;
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "long" }).format(Math.floor(seconds / size));
}

const UNITS = [
  [86_400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
] as const;

/** The heading under which a conversation stands in the list. */
export function period(value: string): string {
  const days = Math.floor((startOfDay(new Date()) - startOfDay(new Date(value))) / 86_400_000);
  if (days <= 0) return t("time.today");
  if (days === 1) return t("time.yesterday");
  if (days < 7) return t("time.week");
  if (days < 30) return t("time.month");
  return t("time.older");
}

function startOfDay(date: Date): number {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}
