/** Client of Parley for browsers and Node.js. */
export { Parley, type ParleyOptions } from "./parley";
export { BrowserSession, TokenSession, type Session } from "./session";
export { isAbort, ParleyError, NetworkError, toError } from "./errors";
export { follow, runTurn, type TurnRequest, type TurnUpdate } from "./turns";
export { feed, type FeedEvent } from "./feed";
export type { StoredFile, UploadOptions } from "./files";
export { newId } from "./ids";
export type { components, paths } from "./schema";

import type { components } from "./schema";

export type Conversation = components["schemas"]["Conversation"];
export type Message = components["schemas"]["Message"];
export type Model = components["schemas"]["ModelResource"];
export type User = components["schemas"]["UserView"];
export type Usage = components["schemas"]["Usage"];
export type SearchHit = components["schemas"]["SearchHit"];
