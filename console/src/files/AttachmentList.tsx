import { useStore } from "../app/store";
import { t } from "../i18n";
import { bytes, percent } from "../i18n/format";
import { IconButton } from "../ui/controls";
import { Icon } from "../ui/Icon";
import { Picture } from "./MessageFiles";
import type { Attachment, Attachments } from "./attachments";
import { isImage } from "./storedFiles";

/** The files above the message that is being written. */
export function AttachmentList({ attachments }: { attachments: Attachments }): React.JSX.Element | null {
  const items = useStore(attachments.items);
  if (items.length === 0) return null;
  return (
    <ul className="attachments" aria-label={t("files.list")}>
      {items.map((each) => (
        <li key={each.key} className={each.error ? "file-chip bad" : "file-chip"}>
          {each.file && isImage(each.file) ? <Picture file={each.file} /> : <Icon name={each.error ? "warning" : "file"} size={16} />}
          <span className="file-name">{each.name}</span>
          <State item={each} />
          <IconButton icon="close" size={14} label={t("files.remove", { name: each.name })} onClick={() => attachments.remove(each.key)} />
        </li>
      ))}
    </ul>
  );
}

function State({ item }: { item: Attachment }): React.JSX.Element {
  if (item.error) {
    return (
      <span className="file-error" role="alert">
        {item.error}
      </span>
    );
  }
  if (item.file) return <span className="quiet">{bytes(item.size)}</span>;
  return <progress max={1} value={item.progress} aria-label={t("files.uploading", { name: item.name, part: percent(item.progress) })} />;
}
