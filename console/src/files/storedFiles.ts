/** Files of the server: their facts, and the bytes of images. Both are kept for the messages that show them again. */

import type { StoredFile } from "@parley/client";

import { api, parley } from "../app/client";

const MOST_FACTS = 500;
const MOST_IMAGES = 40;
const DOWNLOAD_MS = 180_000;

/** Keeps the newest promises by id. A failed one is forgotten, so that it is asked for again. */
class Kept<T> {
  private readonly found = new Map<string, Promise<T>>();

  constructor(private readonly most: number) {}

  get(id: string, make: () => Promise<T>): Promise<T> {
    const value = this.found.get(id) ?? make();
    this.found.delete(id);
    this.found.set(id, value);
    value.catch(() => this.found.delete(id));
    const [oldest] = this.found.keys();
    if (oldest !== undefined && this.found.size > this.most) this.found.delete(oldest);
    return value;
  }
}

const facts = new Kept<StoredFile>(MOST_FACTS);
const images = new Kept<Blob>(MOST_IMAGES);

export function isImage(file: StoredFile): boolean {
  return file.media_type.startsWith("image/");
}

/** Read what is known of a file. */
export function factsOf(id: string): Promise<StoredFile> {
  return facts.get(id, () => api.GET("/api/v1/files/{file_id}", { params: { path: { file_id: id } } }).then(({ data }) => data!));
}

/** Read the bytes of an image. */
export function imageOf(id: string): Promise<Blob> {
  return images.get(id, () => contentOf(id));
}

export function contentOf(id: string): Promise<Blob> {
  return parley.download(id, AbortSignal.timeout(DOWNLOAD_MS));
}

/** Keep what was just uploaded, so that it need not be downloaded. */
export function remember(file: StoredFile, content: Blob): void {
  void facts.get(file.id, () => Promise.resolve(file));
  if (isImage(file)) void images.get(file.id, () => Promise.resolve(content));
}
