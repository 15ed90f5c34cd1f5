import { useEffect, useState } from "react";

import { api } from "../app/client";
import { NEW_CONVERSATION } from "../app/drafts";
import { notifyError } from "../app/feedback";

/** The system prompt of a conversation: that of its newest turn, which the next one keeps. Null until it is known. */
export function useSystemPrompt(conversation: string): string | null {
  const [prompt, setPrompt] = useState<string | null>(conversation === NEW_CONVERSATION ? "" : null);
  useEffect(() => {
    if (conversation === NEW_CONVERSATION) return;
    const query = { conversation_id: conversation, limit: 1 };
    api
      .GET("/api/v1/chat/turns", { params: { query } })
      .then(({ data }) => setPrompt(data!.data[0]?.system_prompt ?? ""), notifyError);
  }, [conversation]);
  return prompt;
}
