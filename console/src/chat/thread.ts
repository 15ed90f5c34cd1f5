/** One open conversation: its tree, the turn that runs, and what the person does with it. */

import { isAbort, ParleyError, type TurnRequest, type TurnUpdate } from "@parley/client";

import { api, parley } from "../app/client";
import { notifyError } from "../app/feedback";
import { Store } from "../app/store";
import { addTurn, filesOfMessages, keepActive, messagePage, newNode, runningTurns } from "./messages";
import { EMPTY, refusalOf, requestOptions, withChange, withNodes, withoutNodes, withServerIds, type Draft, type ThreadState, type TurnSettings } from "./threadState";
import { branch, firstLeaf, newestLeaf, siblings, toNode, type Node } from "./tree";

const MOST_PAGES = 40;

export class Thread {
  readonly state = new Store<ThreadState>(EMPTY);
  private stopReading: AbortController | null = null;
  private filesLoaded: Promise<void> = Promise.resolve();
  private stopWanted = false;
  private pending = "";
  private frame = 0;

  constructor(
    readonly id: string,
    private isNew: boolean,
    private readonly onChange: () => void,
  ) {
    if (!isNew) void this.load();
  }

  /** Read the conversation, its newest messages first. A turn that runs is followed from its first word. */
  async load(): Promise<void> {
    this.update({ loading: this.state.get().tree.size === 0, failed: false });
    try {
      const [conversation, page, turns] = await Promise.all([
        api.GET("/api/v1/conversations/{conversation_id}", { params: { path: { conversation_id: this.id } } }),
        messagePage(this.id, null),
        runningTurns(this.id),
      ]);
      if (this.stopReading) return this.update({ loading: false }); // a turn began meanwhile; its own updates are newer
      const tree = new Map(page.data.map((message) => [message.id, toNode(message)]));
      for (const turn of turns) addTurn(tree, turn);
      const before = this.state.get().leaf;
      const active = conversation.data!.active_message_id;
      const leaf = before !== null && tree.has(before) ? newestLeaf(tree, before) : firstLeaf(tree, active);
      this.update({ loading: false, missing: false, tree, leaf });
      void this.loadEarlier(page.next_cursor, active).catch(notifyError);
      this.filesLoaded = this.loadFiles().catch(notifyError);
      const answer = [...tree.values()].find((node) => node.status === "running" && node.role === "assistant");
      if (answer) await this.follow(answer);
    } catch (error) {
      const missing = error instanceof ParleyError && error.status === 404;
      this.update({ loading: false, missing, failed: !missing && this.state.get().tree.size === 0 });
      if (!missing) notifyError(error);
    }
  }

  /** Read the messages before those of the first page. */
  private async loadEarlier(first: string | null, active: string | null): Promise<void> {
    let cursor = first;
    for (let number = 1; number < MOST_PAGES && cursor !== null; number += 1) {
      const page = await messagePage(this.id, cursor);
      const tree = new Map(page.data.map((message) => [message.id, toNode(message)]));
      for (const [id, node] of this.state.get().tree) tree.set(id, node);
      this.update({ tree, leaf: this.state.get().leaf ?? firstLeaf(tree, active) });
      cursor = page.next_cursor;
    }
  }

  /** Read which messages have files. */
  private async loadFiles(): Promise<void> {
    for await (const found of filesOfMessages(this.id)) this.update({ files: new Map([...this.state.get().files, ...found]) });
  }

  /** Send a message after the last answer. */
  async send(draft: Draft, settings: TurnSettings): Promise<void> {
    await this.sendWith(draft.files.map((file) => file.id), draft, settings);
  }

  /** Send a message with files after the last answer, or after `parentId` (the conversation's id: as the first message). */
  private async sendWith(fileIds: readonly string[], draft: Draft, settings: TurnSettings, parentId?: string): Promise<void> {
    const { tree, leaf } = this.state.get();
    const last = leaf === null ? null : tree.get(leaf)!;
    const parent = parentId ?? (last?.role === "user" ? (last.parentId ?? this.id) : (last?.id ?? null));
    const user = newNode("user", parent === this.id ? null : parent, draft.text, "completed");
    const answer = newNode("assistant", user.id, "", "running");
    const request = { message: draft.text, parent_id: parent, ...(fileIds.length ? { files: [...fileIds] } : {}), ...(this.isNew ? { create: true } : {}) };
    if (fileIds.length) this.update({ files: new Map(this.state.get().files).set(user.id, fileIds) });
    await this.run(request, settings, [user, answer], draft);
  }

  /** Write an answer again, beside the one that is there. */
  async regenerate(node: Node, settings: TurnSettings): Promise<void> {
    await this.run({ regenerate: node.id }, settings, [newNode("assistant", node.parentId, "", "running")], null);
  }

  /** Send a message again in other words, with the same files. The old branch stays. */
  async edit(node: Node, text: string, settings: TurnSettings): Promise<void> {
    await this.filesLoaded;
    const fileIds = this.state.get().files.get(node.id) ?? [];
    await this.sendWith(fileIds, { text, files: [] }, settings, node.parentId ?? this.id);
  }

  /** Stop the turn that runs. What it has written stays. */
  async stop(): Promise<void> {
    const { running, tree } = this.state.get();
    const turnId = running === null ? null : tree.get(running)?.turnId;
    this.stopWanted = true;
    if (!turnId) return; // stopped as soon as the turn is known
    try {
      await parley.cancel(turnId);
    } catch (error) {
      notifyError(error);
    }
  }

  /** Show the previous (-1) or next (1) sibling of a message. */
  show(node: Node, step: number): void {
    const { tree } = this.state.get();
    const all = siblings(tree, node);
    const other = all[all.findIndex((each) => each.id === node.id) + step];
    if (!other) return;
    const leaf = newestLeaf(tree, other.id);
    this.update({ leaf });
    const answer = tree.get(leaf)!;
    if (answer.role === "assistant" && answer.status !== "running") keepActive(this.id, leaf);
  }

  /** Show the branch of a message. */
  reveal(messageId: string): void {
    const { tree, leaf } = this.state.get();
    if (!branch(tree, leaf).some((node) => node.id === messageId)) this.update({ leaf: newestLeaf(tree, messageId) });
  }

  /** A turn of this conversation began or ended on another device or in another tab. */
  changedElsewhere(turnId: string): void {
    const { tree } = this.state.get();
    if (this.stopReading || this.isNew) return;
    const known = tree.get(turnId);
    if (!known || known.status === "running") void this.load();
  }

  /** Forget the files of a refused message: the composer has them now, and deletes them when it closes. */
  forgetRefusedFiles(): void {
    const { refusal } = this.state.get();
    if (refusal?.files.length) this.update({ refusal: { ...refusal, files: [] } });
  }

  dismissRefusal(): void {
    this.update({ refusal: null });
  }

  /** Whether the server does not know the conversation yet. */
  get unknown(): boolean {
    return this.isNew;
  }

  close(): void {
    this.stopReading?.abort();
  }

  private async run(request: TurnRequest, settings: TurnSettings, added: Node[], draft: Draft | null): Promise<void> {
    if (this.stopReading) return;
    const before = this.state.get();
    const answer = added.at(-1)!;
    this.update({ tree: withNodes(before.tree, added), leaf: answer.id, running: answer.id, refusal: null });
    const body = { ...request, conversation_id: this.id, ...requestOptions(settings) };
    try {
      await this.read((signal) => parley.ask(body, signal), added);
    } catch (error) {
      if (isAbort(error)) return;
      const { tree } = this.state.get();
      this.update({ running: null, reconnecting: false });
      if (!tree.has(answer.id)) return notifyError(error); // the server has the turn: the feed reports its end
      this.update({ tree: withoutNodes(tree, added), leaf: before.leaf, refusal: refusalOf(draft, error) });
    }
  }

  private async follow(node: Node): Promise<void> {
    this.patch(node.id, { content: "" });
    this.update({ running: node.id, leaf: newestLeaf(this.state.get().tree, node.id) });
    try {
      await this.read((signal) => parley.follow(node.turnId ?? node.id, signal), [node]);
    } catch (error) {
      if (!isAbort(error)) this.update({ running: null, reconnecting: false });
    }
  }

  private async read(open: (signal: AbortSignal) => AsyncGenerator<TurnUpdate>, added: Node[]): Promise<void> {
    const reading = (this.stopReading = new AbortController());
    this.stopWanted = false;
    let id = added.at(-1)!.id;
    try {
      for await (const update of open(reading.signal)) {
        if (update.kind === "delta") this.append(id, update.text);
        else {
          this.flush(id);
          id = this.apply(id, update, added);
        }
      }
    } finally {
      this.flush(id);
      this.stopReading = null;
    }
  }

  /** Apply an update other than text; return the id of the answer, which changes when the server names it. */
  private apply(id: string, update: Exclude<TurnUpdate, { kind: "delta" }>, added: Node[]): string {
    switch (update.kind) {
      case "started":
        this.isNew = false;
        this.update(withServerIds(this.state.get(), id, update, added));
        this.onChange();
        if (this.stopWanted) void this.stop();
        return update.messageId;
      case "reconnecting":
        this.update({ reconnecting: update.attempt > 1 });
        return id;
      case "connected":
        this.update({ reconnecting: false });
        return id;
      case "finished": {
        const { status, finishReason, usage, cost } = update;
        this.patch(id, { status, finishReason, usage, cost, error: update.error?.message ?? null });
        this.update({ running: null, reconnecting: false });
        this.onChange();
        return id;
      }
    }
  }

  private append(id: string, text: string): void {
    this.pending += text;
    if (document.hidden) this.flush(id);
    else this.frame ||= requestAnimationFrame(() => this.flush(id));
  }

  private flush(id: string): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const text = this.pending;
    this.pending = "";
    const node = this.state.get().tree.get(id);
    if (text && node) this.patch(id, { content: node.content + text });
  }

  private patch(id: string, changed: Partial<Node>): void {
    this.update({ tree: withChange(this.state.get().tree, id, changed) });
  }

  private update(changed: Partial<ThreadState>): void {
    this.state.set((before) => ({ ...before, ...changed }));
  }
}
