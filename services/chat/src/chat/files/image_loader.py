"""Images of a prompt: loaded right before the call of the provider, so that no turn, log or cache contains them."""

import base64
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog

from chat.catalogue import Model
from chat.errors import ImagesUnavailable
from chat.file_errors import FilesUnavailable
from chat.file_references import referenced_file, referenced_files
from chat.files.model import object_key
from chat.files.store import Objects
from chat.generation import (
    AnswerChunk,
    AnswerGenerator,
    ChunkSink,
    ModelSelected,
    Prompt,
    PromptFor,
    PromptImage,
    has_images,
)
from parley.process.fair_slots import FairSlots

MAX_PROMPT_BYTES = 10_485_760
"""Bytes of the images of one prompt. Older images that do not fit are left out."""
MAX_LOADED_BYTES = 67_108_864
"""Bytes of the images that the prompts of a process hold. A prompt holds them until its first token."""
MAX_LOADED_BYTES_OF_USER = 33_554_432
"""Of these, the bytes that the prompts of one user hold."""
LEFT_OUT = "[An image that is not shown.]"
"""Stands for an image that is gone, that does not fit, or that the model cannot read."""

log = structlog.get_logger()

Message = dict[str, Any]


class ImageLoader:
    """An answer generator that loads the images of its prompts."""

    def __init__(self, generator: AnswerGenerator, objects: Objects | None) -> None:
        self._generator, self._objects = generator, objects
        self._memory = FairSlots(MAX_LOADED_BYTES, MAX_LOADED_BYTES_OF_USER)

    async def stream(
        self, models: Sequence[Model], prompt_for: PromptFor, sink: ChunkSink | None = None
    ) -> AsyncGenerator[ModelSelected | Sequence[AnswerChunk], None]:
        """Stream an answer to the prompt with its images; raises ProviderFailure."""
        held, user_id = 0, None

        def release() -> None:
            nonlocal held
            if held:
                self._memory.release(user_id, held)
                held = 0

        async def loaded(model: Model) -> Prompt | None:
            nonlocal held, user_id
            release()  # the prompt of the model before is not sent again
            prompt = await prompt_for(model)
            if prompt is None or not has_images(prompt):
                return prompt
            shows = "vision" in model.capabilities
            if shows:
                size, user_id = _size_of_images(prompt), prompt.user_id
                await self._memory.acquire(user_id, size)
                held = size
            return await self._loaded(prompt, shows=shows)

        try:
            async with contextlib.aclosing(self._generator.stream(models, loaded, sink)) as found:
                async for item in found:
                    release()
                    yield item
        finally:
            release()

    def is_available(self, model: Model) -> bool:
        """Tell whether requests are sent to the model's server."""
        return self._generator.is_available(model)

    async def _loaded(self, prompt: Prompt, *, shows: bool) -> Prompt:
        """Return the prompt with the images that fit, the newest first. ``shows``: the model reads images."""
        room, found, read = MAX_PROMPT_BYTES, list[Message](), dict[UUID, str | None]()
        for message in reversed(prompt.messages):
            parts = message.get("content")
            if not isinstance(parts, list):
                found.append(message)
                continue
            content = []
            for part in parts:
                shown, size = await self._part(part, prompt, room, read) if shows else (_without_image(part), 0)
                content.append(shown)
                room -= size
            found.append({**message, "content": content})
        return replace(prompt, messages=found[::-1])

    async def _part(
        self, part: Message, prompt: Prompt, room: int, read: dict[UUID, str | None]
    ) -> tuple[Message, int]:
        """Return a part as the provider gets it, and the bytes that it takes of the room. Each file is read once."""
        file_id = referenced_file(part)
        if file_id is None:
            return part, 0
        image = prompt.images.get(file_id)
        if image is None or image.size > room:
            return _without_image(part), 0
        if file_id not in read:
            read[file_id] = await self._data_url(file_id, image)
        url = read[file_id]
        if url is None:
            return _without_image(part), 0
        return {**part, "image_url": {**part["image_url"], "url": url}}, image.size

    async def _data_url(self, file_id: UUID, image: PromptImage) -> str | None:
        data = await self._read(file_id)
        return None if data is None else f"data:{image.media_type};base64,{base64.b64encode(data).decode()}"

    async def _read(self, file_id: UUID) -> bytes | None:
        if self._objects is None:
            return None
        try:
            return b"".join([piece async for piece in self._objects.read(object_key(file_id))])
        except FileNotFoundError:
            log.warning("file_without_object", file_id=str(file_id))
            return None
        except FilesUnavailable as error:
            raise ImagesUnavailable from error


def _size_of_images(prompt: Prompt) -> int:
    """Return the bytes of the files that a prompt shows: each as often as it is shown, and no more than fit."""
    found = (prompt.images.get(file_id) for file_id in referenced_files(prompt.messages))
    return min(MAX_PROMPT_BYTES, sum(image.size for image in found if image is not None))


def _without_image(part: Message) -> Message:
    return {"type": "text", "text": LEFT_OUT} if part.get("type") == "image_url" else part
