import { useEffect, useState } from "react";

import { usePlace } from "../app/router";
import { followFeed, newConversation, refresh, thread } from "./conversations";
import { ThreadView } from "./ThreadView";

/** The conversation of the place, or a new one. */
export function ChatView(): React.JSX.Element {
  const place = usePlace();
  const named = place[0] === "c" ? place[1] : undefined;
  const [fresh, setFresh] = useState(newConversation);
  useEffect(() => {
    if (named === fresh) setFresh(newConversation());
  }, [named === fresh]);
  const id = named ?? fresh;
  return <ThreadView key={id} thread={thread(id, named === undefined)} isNew={named === undefined} target={place[2]} />;
}

/** Keep the list of conversations current while somebody is logged in. */
export function useConversations(): void {
  useEffect(() => {
    const stop = new AbortController();
    void refresh();
    void followFeed(stop.signal);
    return () => stop.abort();
  }, []);
}
