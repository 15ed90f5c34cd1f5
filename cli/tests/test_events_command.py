"""`parley events`: what needs no broker."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from aio_pika.exceptions import AMQPConnectionError
from typer.testing import CliRunner, Result

from parley_cli.commands.events_access import binding_pattern, broker_commands
from parley_cli.commands.events_broker import connect_aloud, moment, report_gap, run_on_broker
from parley_cli.commands.events_output import echo_letter, echo_letters
from parley_cli.main import build
from parley_events import Gap, TurnEnded
from parley_events.cloudevents import to_structured
from parley_events.dead_letters import DeadLetter
from parley_events.testing import sample

NOWHERE = "amqp://parley:secret@127.0.0.1:9/"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["events", *arguments])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("first", "first"),
        ("next", "next"),
        ("42", 42),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_word_an_offset_or_a_time(text: str, expected: object) -> None:
    assert moment(text, "since") == expected


def test_a_moment_may_be_an_age() -> None:
    assert abs(moment("2h", "since") - (datetime.now(UTC) - timedelta(hours=2))) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [("since", "now", "use first, next, an offset"), ("until", "first", "use now, never, an")],
)
def test_an_option_takes_its_own_words_only(
    option: str, text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        moment(text, option)
    assert ended.value.exit_code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("text", ["yesterday", "2026-11-22T10:00:00", "5 minutes", "999999d", "9" * 19])
def test_another_moment_is_refused_with_what_is_allowed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        moment(text, "since")
    assert ended.value.exit_code == 2
    assert "parley events: --since" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["rabbit", "http://host/", "amqp://", "amqp://host:port/", "amqp://[::1/"])
def test_what_is_no_address_of_rabbitmq_is_wrong_usage(url: str) -> None:
    result = call("lag", "sub.team.turns", "--url", url)
    assert result.exit_code == 2
    assert "amqp://user:password@host" in result.stderr


def test_tail_says_that_rabbitmq_cannot_be_reached_and_ends() -> None:
    result = call("tail", "--url", f"{NOWHERE},{NOWHERE}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("parley events: Cannot reach RabbitMQ: ")


async def test_an_outage_while_the_log_is_read_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AMQPConnectionError):
        await connect_aloud(NOWHERE, "parley events")
    said = capsys.readouterr().err
    assert said.startswith("parley events: Cannot reach RabbitMQ: ")
    assert said.endswith(". It is tried again.\n")


def test_a_file_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    result = call("lint", str(tmp_path / "none"))
    assert (result.exit_code, result.stderr) == (
        2,
        f"parley events: Cannot read {tmp_path / 'none'}: No such file or directory.\n",
    )


def test_lint_accepts_every_form_of_valid_events(tmp_path: Path) -> None:
    event = json.loads(to_structured(sample(TurnEnded)))
    for number, text in enumerate((json.dumps(event, indent=1), json.dumps([event]), f"{json.dumps(event)}\n" * 2)):
        file = tmp_path / f"{number}.json"
        file.write_text(text)
        result = call("lint", str(file))
        assert (result.exit_code, result.stdout) == (0, "No findings.\n")


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000])
def test_lint_does_not_accept_a_file_without_events(text: str, tmp_path: Path) -> None:
    (tmp_path / "events.json").write_text(text)
    result = call("lint", str(tmp_path / "events.json"))
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (1, "1 findings")


def test_lint_names_each_event_that_is_wrong(tmp_path: Path) -> None:
    event = json.loads(to_structured(sample(TurnEnded)))
    wrong = [
        {**event, "type": "io.parley.conversation.turn.completed.v9"},
        {name: value for name, value in event.items() if name != "subject"},
        {**event, "data": {**event["data"], "status": "unsure"}},
        event,
        7,
    ]
    file = tmp_path / "events.json"
    file.write_text(json.dumps(wrong))
    result = call("lint", str(file))
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["event 1", "event 2", "event 3", "event 5", "4 findings"]
    assert "unknown type" in lines[0]
    assert "ce-subject" in lines[1]
    assert "status" in lines[2]


def test_a_dead_letter_is_one_line_and_sends_nothing_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    letter = DeadLetter(
        "7", "x", "key", "1", "", "rejected", "Rejected: \x1b[2J\ngrüße", 1, "", b'{"a": "\x1b]0;b\x07"}'
    )
    echo_letters([letter])
    echo_letter(letter)
    shown = capsys.readouterr().out
    assert "Rejected: \\x1b[2J\\ngrüße\n1 dead letters\n" in shown
    assert shown.endswith('{"a": "\\x1b]0;b\\x07"}\n')
    assert "\x1b" not in shown


def test_an_unknown_type_is_not_triggered() -> None:
    result = call("trigger", "conversation.sneezed", "--to", "sub.x.y", "--url", NOWHERE)
    assert result.exit_code == 2
    assert "no event type conversation.sneezed" in result.stderr


def test_a_broker_that_is_away_is_one_line_without_the_password() -> None:
    result = call("lag", "sub.team.turns", "--url", NOWHERE)
    assert result.exit_code == 1
    assert result.stderr.startswith("parley events: Cannot reach RabbitMQ")
    assert "secret" not in result.output


@pytest.mark.parametrize(("is_endless", "status"), [(True, 0), (False, 130)])
def test_ctrl_c_is_a_failure_unless_it_is_the_only_end(is_endless: bool, status: int) -> None:
    async def operation() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as ended:
        run_on_broker(operation, is_endless=is_endless)
    assert ended.value.exit_code == status


@pytest.mark.parametrize(("last", "gone"), [(9, "from offset 7 to 9"), (7, "at offset 7")])
async def test_events_that_the_log_no_longer_has_are_named(
    last: int, gone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await report_gap(Gap("parley.log", "", 7, last, of_log=True))
    assert capsys.readouterr().err == f"parley events: The log no longer has the events {gone}.\n"


def test_a_replay_that_fails_says_how_far_it_came() -> None:
    result = call("replay", "--since", "first", "--to", "sub.x.y", "--url", NOWHERE)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "parley events: 0 events were put into sub.x.y before the replay ended."


def test_nothing_is_redriven_unless_it_is_named() -> None:
    result = call("dead", "redrive", "sub.team.turns", "--url", NOWHERE)
    assert result.exit_code == 2
    assert "--all" in result.stderr


def test_access_prints_commands_without_a_password() -> None:
    result = call("access", "analytics")
    assert result.exit_code == 0
    assert r"set_permissions -p / analytics '^sub\.analytics\.' '^sub\.analytics\.'" in result.stdout
    assert "add_user analytics\n" in result.stdout
    assert "amqp://analytics:<password>@<broker>/   Queues" in result.stdout


def test_access_names_the_virtual_host_in_the_address() -> None:
    assert (
        "amqp://analytics:<password>@<broker>/team%2Fa   Q" in call("access", "analytics", "--vhost", "team/a").stdout
    )


def test_access_refuses_names_that_would_widen_the_patterns() -> None:
    for name in ("a.b", ".*", "A", ""):
        assert call("access", name).exit_code == 2


def test_a_team_with_chosen_types_binds_only_these_and_reads_no_log() -> None:
    assert binding_pattern(("conversation.turn.*", "user.#")) == r"^(conversation\.turn\.[^.#]+|user\..*)$"
    permissions = broker_commands("a", ("user.erased",), may_replay=False)[1]
    assert permissions[-1] == r"^(sub\.a\..*|parley\.(events))$"
