/** The client: every operation of the API with its types, streams that resume, and the feed. */

import createClient, { type Client } from "openapi-fetch";

import { feed, type FeedEvent } from "./feed";
import { download, upload, type StoredFile, type UploadOptions } from "./files";
import type { paths } from "./schema";
import { sender, type Send } from "./send";
import type { Session } from "./session";
import { follow, runTurn, type TurnRequest, type TurnUpdate } from "./turns";

export interface ParleyOptions {
  session: Session;
  /** URL of the gateway. Default: the origin of the page. */
  baseUrl?: string;
  /** Seconds until a request without a stream fails. */
  timeout?: number;
}

export class Parley {
  /** Every operation, typed by the OpenAPI document: `parley.api.GET("/api/v1/models")`. Raises on errors. */
  readonly api: Client<paths>;
  /** Sends any request with a credential, and renews the credential once. */
  readonly send: Send;
  readonly baseUrl: string;
  private readonly session: Session;

  constructor(options: ParleyOptions) {
    this.session = options.session;
    this.baseUrl = options.baseUrl ?? (typeof location === "undefined" ? "" : location.origin);
    this.send = sender(options.session);
    const limit = (options.timeout ?? 30) * 1000;
    this.api = createClient<paths>({
      baseUrl: this.baseUrl,
      fetch: (request) => this.send(new Request(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(limit)]) })),
    });
  }

  /** Run a turn and stream it to its end, over broken connections and killed servers. */
  ask(turn: TurnRequest, signal?: AbortSignal): AsyncGenerator<TurnUpdate> {
    return runTurn(this.send, this.baseUrl, turn, signal);
  }

  /** Stream a turn that runs already, from its first word. */
  follow(turnId: string, signal?: AbortSignal): AsyncGenerator<TurnUpdate> {
    return follow(this.send, this.baseUrl, turnId, signal);
  }

  /** Stop a turn. What it has written so far is kept. */
  async cancel(turnId: string): Promise<void> {
    await this.api.POST("/api/v1/chat/turns/{turn_id}/cancel", { params: { path: { turn_id: turnId } } });
  }

  /** Upload a file, for `files` of a turn. */
  upload(file: Blob, options?: UploadOptions): Promise<StoredFile> {
    return upload(this.session, this.baseUrl, file, options);
  }

  /** Download a file of one's own. */
  download(fileId: string, signal?: AbortSignal): Promise<Blob> {
    return download(this.send, this.baseUrl, fileId, signal);
  }

  /** Stream the events of one's own conversations, from now on, over broken connections. */
  feed(signal: AbortSignal): AsyncGenerator<FeedEvent> {
    return feed(this.send, this.baseUrl, signal);
  }
}
