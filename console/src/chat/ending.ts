import { t } from "../i18n";
import type { Node } from "./tree";

/** How an answer ended, unless it simply ended. */
export function ending(node: Node): string | null {
  if (node.status === "cancelled") return t("end.cancelled");
  if (node.status === "failed") return node.error ?? t("end.failed");
  if (node.status === "incomplete") {
    if (node.finishReason === "budget") return t("end.budget");
    if (node.finishReason === "deadline") return t("end.deadline");
    if (node.finishReason === "interrupted") return t("end.interrupted");
    return node.error ?? t("end.failed");
  }
  if (node.finishReason === "length") return t("end.length");
  if (node.finishReason === "content_filter") return t("end.filter");
  return null;
}

/** What a screen reader says about the last message when its turn no longer runs here. */
export function outcome(node: Node | undefined): string {
  if (node?.role !== "assistant") return ""; // the message was not sent, which is an alert of its own
  if (node.status === "running") return t("end.lost");
  if (node.status === "cancelled") return t("chat.stopped"); // a sentence: nothing else says what was stopped
  return ending(node) ?? t("chat.answered");
}
