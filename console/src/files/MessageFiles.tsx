import { useEffect, useState } from "react";

import type { StoredFile } from "@parley/client";

import { notifyError } from "../app/feedback";
import { useLoaded } from "../app/loading";
import { save } from "../app/save";
import { t } from "../i18n";
import { bytes } from "../i18n/format";
import { Dialog } from "../ui/controls";
import { Icon } from "../ui/Icon";
import { contentOf, factsOf, imageOf, isImage } from "./storedFiles";

/** The files of a message: images as images, others by name. */
export function MessageFiles({ ids }: { ids: readonly string[] }): React.JSX.Element {
  return (
    <ul className="message-files" aria-label={t("files.list")}>
      {ids.map((id) => (
        <li key={id}>
          <MessageFile id={id} />
        </li>
      ))}
    </ul>
  );
}

function MessageFile({ id }: { id: string }): React.JSX.Element {
  const [file, { error }] = useLoaded(() => factsOf(id), [id]);
  const [open, setOpen] = useState(false);
  if (error) return <span className="file-chip quiet">{error}</span>;
  if (!file) return <span className="file-chip spinner" aria-hidden="true" />;
  if (!isImage(file)) {
    return (
      <button type="button" className="file-chip" title={t("files.download", { name: file.filename })} onClick={() => void saveFile(file)}>
        <Icon name="file" size={16} />
        <span className="file-name">{file.filename}</span>
        <span className="quiet">{bytes(file.bytes)}</span>
      </button>
    );
  }
  return (
    <>
      <button type="button" className="picture-button" aria-label={t("files.open", { name: file.filename })} onClick={() => setOpen(true)}>
        <Picture file={file} />
      </button>
      {open && (
        <Dialog wide title={file.filename} onClose={() => setOpen(false)}>
          <Picture file={file} />
          <button type="button" className="button" onClick={() => void saveFile(file)}>
            <Icon name="download" size={16} />
            {t("files.download", { name: file.filename })}
          </button>
        </Dialog>
      )}
    </>
  );
}

/** An image of the server, read with the credential of the page. */
export function Picture({ file }: { file: StoredFile }): React.JSX.Element {
  const [content, { error }] = useLoaded(() => imageOf(file.id), [file.id]);
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    if (content === null) return;
    const made = URL.createObjectURL(content);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [content]);
  if (error) return <span className="quiet">{error}</span>;
  if (!url) return <span className="picture-space" aria-hidden="true" />;
  return <img className="picture" src={url} alt={file.filename} />;
}

async function saveFile(file: StoredFile): Promise<void> {
  try {
    save(await contentOf(file.id), file.filename);
  } catch (error) {
    notifyError(error);
  }
}
