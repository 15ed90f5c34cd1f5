"""Earlier exchanges as messages for a provider. A tool call is sent only with its result, as providers require."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, takewhile
from typing import Any
from uuid import UUID

from chat.past_exchanges import PastExchange, PastStep

NO_TURN = UUID(int=0)
"""ID of the exchange that the prompt asks to answer."""
Message = dict[str, Any]


def has_steps(exchange: PastExchange) -> bool:
    """Tell whether an exchange has more than a message and a text."""
    return bool(exchange.before or exchange.tool_calls or exchange.after or exchange.input is not None)


def grouped(newest_first: Iterable[PastExchange]) -> Iterator[list[PastExchange]]:
    """Yield the exchanges in groups, newest first. A group begins with a user message and stays together."""
    group: list[PastExchange] = []
    for exchange in newest_first:
        group.append(exchange)
        if not exchange.continues:
            yield group
            group = []
    if group:
        yield group


def messages_of(group: Sequence[PastExchange]) -> list[Message]:
    """Return the messages of a group, oldest first, with calls and results that may lack each other."""
    found: list[Message] = []
    for exchange in reversed(group):
        has_answer = bool(exchange.answer or exchange.tool_calls)
        if exchange.turn_id != NO_TURN and not has_answer and not exchange.stands_alone:
            continue
        if (not found if exchange.continues else exchange.input is None) and not _is_blank(exchange):
            found.append({"role": "user", "content": exchange.user_message})
        found += exchange.input or ()
        if not has_steps(exchange):
            found += [{"role": "assistant", "content": exchange.answer}] if exchange.answer else []
            continue
        found += map(_message, exchange.before)
        if exchange.turn_id != NO_TURN and has_answer:
            found.append(_message(PastStep("assistant", exchange.answer, exchange.tool_calls)))
        found += map(_message, exchange.after)
    return found


def _is_blank(exchange: PastExchange) -> bool:
    """Tell whether an exchange has no user message: its user inserted none, or has deleted it."""
    return exchange.turn_id != NO_TURN and not exchange.user_message


def _message(step: PastStep) -> Message:
    if step.role == "tool":
        return {"role": "tool", "tool_call_id": step.tool_call_id, "content": step.content}
    calls = {"tool_calls": step.tool_calls} if step.tool_calls else {}
    return {"role": "assistant", "content": step.content, **calls}


def with_paired_calls(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with each result right after its call. Calls and results without the other are left out."""
    found: list[Message] = []
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            later = (messages[place] for place in range(index + 1, len(messages))) if message.get("tool_calls") else ()
            _add_answer(found, message, takewhile(lambda one: one["role"] != "assistant", later))
        elif message["role"] != "tool":
            found.append(message)
    return list(_with_joined_texts(found))


def _add_answer(found: list[Message], message: Message, later: Iterable[Message]) -> None:
    calls = _distinct(message.get("tool_calls") or ())
    results = {one["tool_call_id"]: one for one in later if one["role"] == "tool"} if calls else {}
    if calls and all(_is_call(call) and call["id"] in results for call in calls):
        answer = {**message, "content": message["content"] or None, "tool_calls": calls}
        found += [answer, *(results[call["id"]] for call in calls)]
    elif message["content"]:
        found.append({"role": "assistant", "content": message["content"]})


def _with_joined_texts(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages with answers in a row as one. Some servers refuse several."""
    for is_text, run in groupby(messages, lambda one: one["role"] == "assistant" and "tool_calls" not in one):
        if is_text:
            yield {"role": "assistant", "content": _joined([one["content"] for one in run])}
        else:
            yield from run


def _joined(contents: list[Any]) -> Any:
    if len(contents) == 1:
        return contents[0]
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(contents)
    parts = ([{"type": "text", "text": one}] if isinstance(one, str) else one for one in contents)
    return [part for content in parts for part in content]


def _distinct(calls: Iterable[Message]) -> list[Message]:
    """Return the first call of each ID: users can insert several with one, and providers refuse the whole prompt."""
    known: set[str] = set()
    found: list[Message] = []
    for call in calls:
        if not _is_call(call):
            found.append(call)
        elif call["id"] not in known:
            known.add(call["id"])
            found.append(call)
    return found


def _is_call(call: Message) -> bool:
    """Tell whether a call is one. The calls of an imported answer may be any objects."""
    function = call.get("function")
    return isinstance(call.get("id"), str) and isinstance(function, dict) and isinstance(function.get("name"), str)
