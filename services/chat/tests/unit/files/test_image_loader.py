"""Images of prompts: loaded right before the call of the provider, and left out where they do not fit."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import orjson
import pytest

from chat.catalogue import Model
from chat.errors import ImagesUnavailable
from chat.file_references import reference
from chat.files.image_loader import (
    LEFT_OUT,
    MAX_LOADED_BYTES,
    MAX_LOADED_BYTES_OF_USER,
    MAX_PROMPT_BYTES,
    ImageLoader,
)
from chat.files.model import object_key
from chat.generation import AnswerChunk, ChunkSink, ModelSelected, Prompt, PromptFor, PromptImage
from chat_testing.files import PNG, InMemoryObjects, png
from chat_testing.turns import MODEL, SEES
from parley.ids import new_id
from parley_testing.waiting import eventually


class PromptRecorder:
    """An AnswerGenerator that keeps the prompts of its models, and answers once it may."""

    def __init__(self) -> None:
        self.prompts: list[Prompt | None] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def stream(
        self, models: Sequence[Model], prompt_for: PromptFor, sink: ChunkSink | None = None
    ) -> AsyncGenerator[ModelSelected | Sequence[AnswerChunk], None]:
        for model in models:
            self.prompts.append(await prompt_for(model))
        await self.may_answer.wait()
        yield []

    def is_available(self, model: Model) -> bool:
        return True


def prompt_of(*parts: dict[str, Any], sizes: dict[UUID, int], user_id: UUID | None = None) -> Prompt:
    images = {file_id: PromptImage("image/png", size) for file_id, size in sizes.items()}
    messages = [{"role": "user", "content": [part]} for part in parts]
    return Prompt(messages, 10, images=images, user_id=user_id)


def part_of(file_id: UUID) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": reference(file_id), "detail": "low"}}


async def load(prompt: Prompt, objects: InMemoryObjects | None, model: Model = SEES) -> list[Any]:
    """Return the parts of the prompt as a provider gets it."""
    recorder = PromptRecorder()

    async def prompt_for(model: Model) -> Prompt | None:
        return prompt

    async for _ in ImageLoader(recorder, objects).stream([model], prompt_for):
        pass
    (loaded,) = recorder.prompts
    assert loaded is not None
    assert b"parley-file" not in orjson.dumps(list(loaded.messages))
    return [message["content"][0] for message in loaded.messages]


async def test_the_provider_gets_the_data_of_the_newest_images_that_fit() -> None:
    old, new, gone = new_id(), new_id(), new_id()
    objects = InMemoryObjects({object_key(file_id): png() for file_id in (old, new)})
    large = MAX_PROMPT_BYTES - len(png()) + 1
    sizes = {old: large, new: large, gone: 1}
    sent = {"type": "image_url", "image_url": {"url": PNG}}
    prompt = prompt_of(part_of(old), part_of(gone), sent, part_of(new), sizes=sizes)
    left_out = {"type": "text", "text": LEFT_OUT}
    assert await load(prompt, objects) == [
        left_out,
        left_out,
        sent,
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
    ]


@pytest.mark.parametrize("stored", [True, False])
async def test_an_image_is_read_once_however_often_a_prompt_names_it(*, stored: bool) -> None:
    file_id = new_id()
    objects = InMemoryObjects({object_key(file_id): png()} if stored else {})
    loaded = await load(prompt_of(*[part_of(file_id)] * 3, sizes={file_id: len(png())}), objects)
    assert [part["type"] for part in loaded] == (["image_url"] if stored else ["text"]) * 3
    assert objects.reads == [object_key(file_id)]


async def test_a_model_without_vision_gets_a_text_in_place_of_earlier_images() -> None:
    file_id = new_id()
    prompt = prompt_of(part_of(file_id), {"type": "image_url", "image_url": {"url": PNG}}, sizes={file_id: 1})
    left_out = {"type": "text", "text": LEFT_OUT}
    assert await load(prompt, InMemoryObjects(), MODEL) == [left_out, left_out]
    assert (await load(prompt, None))[0] == left_out


async def test_a_turn_fails_clearly_while_the_storage_is_away() -> None:
    file_id = new_id()
    with pytest.raises(ImagesUnavailable):
        await load(prompt_of(part_of(file_id), sizes={file_id: 1}), InMemoryObjects(unavailable=True))


async def test_the_prompts_of_one_user_leave_memory_for_those_of_others() -> None:
    file_id, recorder, one, other = new_id(), PromptRecorder(), new_id(), new_id()
    loader = ImageLoader(recorder, InMemoryObjects({object_key(file_id): png()}))

    def begun(user_id: UUID) -> asyncio.Future[Any]:
        async def prompt_for(model: Model) -> Prompt | None:
            return prompt_of(part_of(file_id), sizes={file_id: MAX_PROMPT_BYTES}, user_id=user_id)

        async def first() -> None:
            async with contextlib.aclosing(loader.stream([SEES], prompt_for)) as stream:
                await anext(stream)

        return asyncio.ensure_future(first())

    def users() -> list[UUID | None]:
        return [prompt.user_id for prompt in recorder.prompts if prompt is not None]

    recorder.may_answer.clear()
    fitting = MAX_LOADED_BYTES_OF_USER // MAX_PROMPT_BYTES
    answers = [begun(one) for _ in range(fitting + 3)]
    await eventually(lambda: len(recorder.prompts) == fitting)
    answers += [begun(other) for _ in range(2)]
    await eventually(lambda: users() == [one] * fitting + [other] * 2)
    recorder.may_answer.set()
    await asyncio.gather(*answers)


async def test_a_prompt_that_loads_no_file_does_not_wait_for_memory() -> None:
    file_id, recorder, user_id = new_id(), PromptRecorder(), new_id()
    loader = ImageLoader(recorder, InMemoryObjects({object_key(file_id): png()}))
    recorder.may_answer.clear()

    def begun(part: dict[str, Any], sizes: dict[UUID, int]) -> asyncio.Future[Any]:
        async def prompt_for(model: Model) -> Prompt | None:
            return prompt_of(part, sizes=sizes, user_id=user_id)

        async def first() -> None:
            async with contextlib.aclosing(loader.stream([SEES], prompt_for)) as stream:
                await anext(stream)

        return asyncio.ensure_future(first())

    fitting = MAX_LOADED_BYTES_OF_USER // MAX_PROMPT_BYTES
    answers = [begun(part_of(file_id), {file_id: MAX_PROMPT_BYTES}) for _ in range(fitting + 1)]
    await eventually(lambda: len(recorder.prompts) == fitting)
    answers.append(begun({"type": "image_url", "image_url": {"url": PNG}}, {}))
    await eventually(lambda: len(recorder.prompts) == fitting + 1)
    recorder.may_answer.set()
    await asyncio.gather(*answers)


async def test_prompts_wait_while_others_hold_their_images_until_the_first_token() -> None:
    file_id, recorder = new_id(), PromptRecorder()
    loader = ImageLoader(recorder, InMemoryObjects({object_key(file_id): png()}))

    async def prompt_for(model: Model) -> Prompt | None:
        return prompt_of(part_of(file_id), part_of(file_id), sizes={file_id: MAX_PROMPT_BYTES}, user_id=new_id())

    fitting = MAX_LOADED_BYTES // MAX_PROMPT_BYTES
    recorder.may_answer.clear()
    streams = [loader.stream([SEES], prompt_for) for _ in range(fitting + 2)]
    answers = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await eventually(lambda: len(recorder.prompts) == fitting)
    answers[0].cancel()
    await eventually(lambda: len(recorder.prompts) == fitting + 1)
    recorder.may_answer.set()
    assert await asyncio.gather(*answers[1:]) == [[]] * (fitting + 1)
    again = loader.stream([SEES] * (fitting + 1), prompt_for)  # although no answer has ended yet
    assert await anext(again) == []
    for stream in (*streams, again):
        await stream.aclose()
