"""Contents of files in the place of their parts: in the messages of a prompt, and in the items of a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chat.file_references import FILE, Part, image_part, is_file, parse_openai_id, parts_of, referenced_file
from chat.files.inline_data import encoded_text
from chat.files.text_frame import GONE, framed

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileContents:
    """Files that were found: images, texts between tags, and texts by the data that the request has of them."""

    images: set[UUID]
    texts: dict[UUID, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    @property
    def capabilities(self) -> frozenset[str]:
        """What a model needs to read the files."""
        return frozenset({"vision"} if self.images else ())

    def in_messages(self, messages: Sequence[Message] | None) -> list[Message] | None:
        """Return messages with the contents of their files."""
        return None if messages is None else [self.in_message(message) for message in messages]

    def in_response(self, response: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the members of a response, whose input names images as images and has texts in place of data."""
        if response is None or "input" not in response:
            return response
        return {**response, "input": [self._in_item(item) for item in response["input"]]}

    def in_message(self, message: Message) -> Message:
        """Return a message with the contents of its files, as one text if all of them are texts."""
        if not any(map(is_file, parts_of([message]))):
            return message
        parts = [self._part(part) if is_file(part) else part for part in message["content"]]
        if all(part.get("type") == "text" for part in parts):
            return {**message, "content": "\n\n".join(part["text"] for part in parts if part["text"])}
        return {**message, "content": parts}

    def _part(self, part: Part) -> Part:
        file_id = referenced_file(part)
        if file_id is not None and file_id in self.images:
            return image_part(file_id)
        if file_id is not None:
            return {"type": "text", "text": self.texts.get(file_id, GONE)}
        return {"type": "text", "text": framed(part[FILE]["filename"], self.data[part[FILE]["file_data"]])}

    def _in_item(self, item: Mapping[str, Any]) -> dict[str, Any]:
        content = item.get("content")
        if not isinstance(content, list):
            return dict(item)
        return {**item, "content": [self._item_part(part) for part in content]}

    def _item_part(self, part: Part) -> Part:
        if part["type"] != "input_file":
            return part
        if part.get("file_data"):
            return {**part, "file_data": encoded_text(self.data[part["file_data"]])}
        if parse_openai_id(part["file_id"]) in self.images:
            return {"type": "input_image", "file_id": part["file_id"], "detail": "auto"}
        return part
