import { useEffect, useRef, useState } from "react";

import { draftOf, keepDraft } from "../app/drafts";

/** The text of a composer, which is kept for `conversation` while it is not sent. */
export function useDraft(conversation: string): [text: string, setText: (text: string) => void] {
  const [text, setText] = useState(() => draftOf(conversation));
  const before = useRef(conversation);
  useEffect(() => {
    // A new conversation got its name while the next message was being written.
    if (before.current === conversation) return;
    keepDraft(before.current, "");
    keepDraft(conversation, text);
    before.current = conversation;
  }, [conversation]);
  const change = (changed: string): void => {
    setText(changed);
    keepDraft(conversation, changed);
  };
  return [text, change];
}
