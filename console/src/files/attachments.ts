/** Files that the person adds to a message before it is sent. */

import { useEffect, useState } from "react";

import { ParleyError, type StoredFile } from "@parley/client";

import { api, parley } from "../app/client";
import { describe, notify } from "../app/feedback";
import { Store } from "../app/store";
import { t, type Key } from "../i18n";
import { remember } from "./storedFiles";

/** The server takes no more in one message. */
const MOST_FILES = 10;

export interface Attachment {
  key: number;
  name: string;
  size: number;
  /** The part that is sent, from 0 to 1. */
  progress: number;
  /** The file of the server, once it is there. */
  file: StoredFile | null;
  /** Why it was not taken. */
  error: string | null;
}

let nextKey = 1;

export class Attachments {
  readonly items = new Store<readonly Attachment[]>([]);
  private readonly uploads = new Map<number, AbortController>();

  /** Upload files, and show each at once. */
  add = (files: Iterable<File>): void => {
    for (const file of files) {
      if (this.items.get().length >= MOST_FILES) return void notify(t("files.tooMany", { count: MOST_FILES }), { bad: true });
      const key = nextKey++;
      const name = file.name || t("files.pasted");
      this.items.set((before) => [...before, { key, name, size: file.size, progress: 0, file: null, error: null }]);
      void this.upload(key, file, name);
    }
  };

  /** Take a file away, also from the server. */
  remove(key: number): void {
    this.uploads.get(key)?.abort();
    const found = this.items.get().find((each) => each.key === key);
    this.items.set((before) => before.filter((each) => each.key !== key));
    if (found?.file) forget(found.file);
  }

  /** The files to send; the list is empty then. */
  take(): StoredFile[] {
    const files = this.items.get().flatMap((each) => each.file ?? []);
    this.items.set([]);
    return files;
  }

  /** Offer files again whose message was not sent. */
  restore(files: readonly StoredFile[]): void {
    const again = files.map((file) => ({ key: nextKey++, name: file.filename, size: file.bytes, progress: 1, file, error: null }));
    this.items.set((before) => [...again, ...before]);
  }

  /** Take away what was not sent. */
  close(): void {
    for (const { key } of this.items.get()) this.remove(key);
  }

  private async upload(key: number, content: File, name: string): Promise<void> {
    const stop = new AbortController();
    this.uploads.set(key, stop);
    try {
      const file = await parley.upload(content, { name, signal: stop.signal, onProgress: (progress) => this.change(key, { progress }) });
      if (stop.signal.aborted) return forget(file);
      remember(file, content);
      this.change(key, { progress: 1, file });
    } catch (error) {
      this.change(key, { error: describeUpload(error) });
    } finally {
      this.uploads.delete(key);
    }
  }

  private change(key: number, changed: Partial<Attachment>): void {
    this.items.set((before) => before.map((each) => (each.key === key ? { ...each, ...changed } : each)));
  }
}

/** The files of a composer. What is not sent when it closes is taken away. */
export function useAttachments(): Attachments {
  const [found] = useState(() => new Attachments());
  useEffect(() => () => found.close(), [found]);
  return found;
}

const TEXTS: Readonly<Record<string, Key>> = {
  body_too_large: "files.tooLarge",
  dependency_unavailable: "files.unavailable",
  not_found: "files.notOffered",
  quota_exceeded: "files.full",
  unsupported_media_type: "files.unsupported",
};

function describeUpload(error: unknown): string {
  if (!(error instanceof ParleyError)) return describe(error);
  const text = TEXTS[error.code];
  return `${text ? t(text) : describe(error)} (${error.code})`;
}

function forget(file: StoredFile): void {
  const path = { file_id: file.id };
  void api.DELETE("/api/v1/files/{file_id}", { params: { path } }).catch(() => {}); // the person sees it nowhere any more
}
