"""Images of a prompt: loaded right before the call of the provider, so that no turn, log or cache contains them."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from chat.catalogue import Model
from chat.errors import FilesUnavailable, ImagesUnavailable
from chat.file_references import referenced_file
from chat.files.model import object_key
from chat.files.store import Objects
from chat.generation import (
    AnswerChunk,
    AnswerGenerator,
    ModelSelected,
    Prompt,
    PromptFor,
    has_images,
)

MAX_PROMPT_BYTES = 10_485_760
"""Bytes of the images of one prompt. Older images that do not fit are left out."""
MAX_LOADING = 4
"""Prompts of a process whose images are loaded at once."""
LEFT_OUT = "[An image that is not shown.]"
"""Stands for an image that is gone, that does not fit, or that the model cannot read."""

Message = dict[str, Any]


class ImageLoader:
    """An answer generator that loads the images of its prompts."""

    def __init__(self, generator: AnswerGenerator, objects: Objects | None) -> None:
        self._generator, self._objects = generator, objects
        self._loading = asyncio.Semaphore(MAX_LOADING)

    def stream(
        self, models: Sequence[Model], prompt_for: PromptFor
    ) -> AsyncGenerator[ModelSelected | Sequence[AnswerChunk], None]:
        """Stream an answer to the prompt with its images; raises ProviderFailure."""

        async def loaded(model: Model) -> Prompt | None:
            prompt = await prompt_for(model)
            if prompt is None or not has_images(prompt):
                return prompt
            async with self._loading:
                return await self._loaded(prompt, shows="vision" in model.capabilities)

        return self._generator.stream(models, loaded)

    def is_available(self, model: Model) -> bool:
        """Tell whether requests are sent to the model's server."""
        return self._generator.is_available(model)

    async def _loaded(self, prompt: Prompt, *, shows: bool) -> Prompt:
        """Return the prompt with the images that fit, the newest first. ``shows``: the model reads images."""
        room, found = MAX_PROMPT_BYTES, list[Message]()
        for message in reversed(prompt.messages):
            parts = message.get("content")
            if not isinstance(parts, list):
                found.append(message)
                continue
            content = []
            for part in parts:
                shown, size = await self._part(part, prompt, room) if shows else (_without_image(part), 0)
                content.append(shown)
                room -= size
            found.append({**message, "content": content})
        return replace(prompt, messages=found[::-1])

    async def _part(self, part: Message, prompt: Prompt, room: int) -> tuple[Message, int]:
        """Return a part as the provider gets it, and the bytes that it takes of the room."""
        file_id = referenced_file(part)
        if file_id is None:
            return part, 0
        image = prompt.images.get(file_id)
        data = await self._read(file_id) if image is not None and image.size <= room else None
        if image is None or data is None:
            return _without_image(part), 0
        url = f"data:{image.media_type};base64,{base64.b64encode(data).decode()}"
        return {**part, "image_url": {**part["image_url"], "url": url}}, len(data)

    async def _read(self, file_id: UUID) -> bytes | None:
        if self._objects is None:
            return None
        try:
            return b"".join([piece async for piece in self._objects.read(object_key(file_id))])
        except FileNotFoundError:
            return None
        except FilesUnavailable as error:
            raise ImagesUnavailable from error


def _without_image(part: Message) -> Message:
    return {"type": "text", "text": LEFT_OUT} if part.get("type") == "image_url" else part
