"""Prompts of many short messages: the work grows with their number, not with its square."""

from typing import Any

from chat.admission.past_messages import with_paired_calls

Message = dict[str, Any]


class Once(str):
    """A text that is joined with others, never put behind the text so far, which would copy that each time."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        raise AssertionError(spec)


class Messages(list[Message]):
    """Messages of which nothing is copied."""

    def __getitem__(self, place: Any) -> Any:
        assert not isinstance(place, slice)
        return super().__getitem__(place)


def said(role: str, content: Any) -> Message:
    return {"role": role, "content": content}


def test_answers_in_a_row_are_one_message() -> None:
    answers = [said("assistant", Once(text)) for text in "abc"]
    assert with_paired_calls([said("user", "Hi"), *answers, said("user", "Why?"), answers[0]]) == [
        said("user", "Hi"),
        said("assistant", "a\n\nb\n\nc"),
        said("user", "Why?"),
        said("assistant", "a"),
    ]


def test_answers_in_a_row_keep_their_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    found = with_paired_calls([said("assistant", "Look"), said("assistant", [image])])
    assert found == [said("assistant", [{"type": "text", "text": "Look"}, image])]


def test_the_results_of_each_call_are_found_without_a_copy_of_what_follows() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    step = [{**said("assistant", None), "tool_calls": calls}, {**said("tool", "Rain"), "tool_call_id": "c"}]
    assert with_paired_calls(Messages(step * 3)) == step * 3
