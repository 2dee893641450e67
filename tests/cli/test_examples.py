"""`router examples`: a model of the operator's own writes examples in other languages, and only what passes is kept."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router.commands.main import app
from router.packs import load_pack

PACK = """
name: shop
brief: Be polite.
tasks:
  delivery:
    about: The customer asks where their parcel is
    examples: [where is my parcel, my order ORD-12345 has not come, "track {order} please"]
  refund:
    about: The customer wants money back
    examples: [I want my money back, please refund 20 dollars]
unrelated: [what will the weather be like]
"""
GERMAN = {
    "where is my parcel": "Wo ist mein Paket?",
    "my order ORD-12345 has not come": "Meine Bestellung ORD-12345 ist nicht da",
    "track {order} please": "Bitte {order} verfolgen",
    "I want my money back": "Ich möchte mein Geld zurück",
    "please refund 20 dollars": "Bitte 20 Dollar erstatten",
    "what will the weather be like": "Wie wird das Wetter?",
}
RUSSIAN = {
    "where is my parcel": "Где моя посылка?",
    "my order ORD-12345 has not come": "Мой заказ ORD-12345 не пришёл",
    "track {order} please": "Отследите {order}, пожалуйста",
    "I want my money back": "Верните мне деньги",
    "please refund 20 dollars": "Верните, пожалуйста, 20 долларов",
    "what will the weather be like": "Какая будет погода?",
}
LISTED = re.compile(r"^(\d+)\. (.+)$", re.MULTILINE)

Reply = Callable[[str], Any]
"""Takes a prompt; returns the words of the answer, as a text or as a stream, or (status, body)."""


class Model(ThreadingHTTPServer):
    """An OpenAI-compatible server on loopback. `reply` says what it answers; `asked` is what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.reply: Reply = translator(GERMAN)
        self.asked: list[str] = []
        self.keys: list[str | None] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: Any) -> None:
        """A client that leaves is no news."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = body["messages"][0]["content"]
        self.server.asked.append(prompt)
        self.server.keys.append(self.headers.get("authorization"))
        reply = self.server.reply(prompt)
        if isinstance(reply, Iterator):
            self._stream(reply)
            return
        status, raw = reply if isinstance(reply, tuple) else (200, completion(reply))
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, words: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        try:
            for text in words:
                chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
                chunk["choices"] = [{"index": 0, "delta": {"role": "assistant", "content": text}}]
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        except OSError:
            words.close()  # type: ignore[attr-defined]
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def completion(text: str, finish: str = "stop") -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    ).encode()


def translator(words: dict[str, str]) -> Reply:
    """A good model: it knows every text."""
    return lambda prompt: "\n".join(f"{number}. {words[text]}" for number, text in LISTED.findall(prompt))


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(dedent(PACK))
    return file


@pytest.fixture
def german(pack: Path) -> Path:
    return pack.with_name("shop.examples.de.yaml")


@pytest.fixture
def run(pack: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("ROUTER_BACKEND_API_KEY", "ROUTER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: str, base_url: str | None = "", **more: Any) -> Result:
        where = ["--base-url", base_url or model.url] if base_url is not None else []
        return CliRunner().invoke(app, ["examples", str(pack), "--model", "strong", *where, *arguments], **more)

    return invoke


def test_a_strong_model_translates_all_of_a_pack(run: Any, pack: Path, german: Path, model: Model) -> None:
    done = run("--languages", "de", "--yes")
    assert done.exit_code == 0, done.output
    assert "6 written, 0 not taken, 0 still missing" in done.stdout
    assert german.read_text() == dedent("""\
        # German, written by a model: for review
        language: de
        generated: true
        examples:
          /delivery:
            - Wo ist mein Paket?  # where is my parcel
            - Meine Bestellung ORD-12345 ist nicht da  # my order ORD-12345 has not come
            - Bitte {order} verfolgen  # track {order} please
          /refund:
            - Ich möchte mein Geld zurück  # I want my money back
            - Bitte 20 Dollar erstatten  # please refund 20 dollars
        unrelated:
          - Wie wird das Wetter?  # what will the weather be like
        """)
    loaded = load_pack(pack)
    assert set(GERMAN.values()) <= {text for _, text in loaded.policy.generated}
    assert set(loaded.languages.values()) == {"de"}
    assert len(model.asked) == 3
    assert "into German" in model.asked[0] and "The customer asks where their parcel is" in model.asked[0]


def test_several_languages_each_get_a_file(run: Any, pack: Path, model: Model) -> None:
    model.reply = lambda prompt: translator(RUSSIAN if "Russian" in prompt else GERMAN)(prompt)
    assert run("--languages", "de, RU,de", "--yes").exit_code == 0
    assert sorted(set(load_pack(pack).languages.values())) == ["de", "ru"]


def test_a_second_run_asks_for_what_is_missing_and_nothing_else(
    run: Any, pack: Path, german: Path, model: Model
) -> None:
    run("--languages", "de", "--yes")
    model.asked.clear()
    again = run("--languages", "de", "--yes")
    assert again.exit_code == 0 and "nothing is missing" in again.stdout
    assert model.asked == []
    pack.write_text(pack.read_text().replace("[I want my money back,", "[I want my money back, give it back,"))
    german.write_text(german.read_text().replace("    - Wo ist mein Paket?  # where is my parcel\n", ""))
    model.reply = translator(GERMAN | {"give it back": "Gebt es mir zurück"})
    assert run("--languages", "de", "--yes").exit_code == 0
    assert [text for prompt in model.asked for _, text in LISTED.findall(prompt)] == [
        "where is my parcel",
        "give it back",
    ]
    assert "Gebt es mir zurück" in load_pack(pack).policy.tasks["/refund"].examples


@pytest.mark.parametrize(("arguments", "stdin"), [([], "n\n"), ([], ""), (["--json"], None)])
def test_nothing_is_sent_without_a_word(
    run: Any, german: Path, model: Model, arguments: list[str], stdin: str | None
) -> None:
    shown = run("--languages", "de", *arguments, input=stdin)
    assert shown.exit_code == 0
    assert model.asked == [] and not german.exists()
    if arguments:
        plan = json.loads(shown.stdout)["plan"]
        assert (plan["calls"], plan["dollars"], plan["files"][0]["texts"]) == (3, None, 6)
        assert len(plan["prompts"]) == 3 and plan["tokens_up"] > plan["tokens_back"] > 10
    else:
        assert "German: 6 texts in 3 calls" in shown.stdout
        assert "tokens up" in shown.stdout and "price not known" in shown.stdout
        assert "where is my parcel" in shown.stdout and "nothing was sent" in shown.stdout


def test_a_yes_on_the_terminal_sends(run: Any, german: Path) -> None:
    assert run("--languages", "de", input="y\n").exit_code == 0
    assert german.exists()


NONSENSE: dict[str, tuple[Reply, str]] = {
    "says it again": (lambda prompt: "\n".join(f"{n}. {t}" for n, t in LISTED.findall(prompt)), "it is not translated"),
    "another language": (
        lambda _: "1. Où est mon colis, je ne le trouve pas\n2. Je veux que vous me le donniez",
        "it is in French",
    ),
    "another script": (lambda _: "1. Где моя посылка?", "it is not in the script of German"),
    "refuses": (lambda _: "1. I'm sorry, but as an AI I cannot assist with that.", "speaks of its work"),
    "preamble": (lambda _: "1. Here are the German translations:", "speaks of its work"),
    "markup": (lambda _: "1. **Wo ist mein Paket?**", "speaks of its work, or marks up"),
    "too long": (lambda _: "1. " + "Wo ist mein Paket und wann kommt es denn an " * 9, "much longer or shorter"),
    "too short": (lambda _: "1. Wo\n2. Wo\n3. Wo", "much longer or shorter"),
    "without numbers": (lambda _: "1. x\n2. Meine Bestellung ist nicht gekommen", "ORD-12345 is missing"),
    "other numbers": (lambda _: "1. Wo ist mein Paket 4711?", "4711 is not in the original"),
    "twice": (lambda _: "1. Wo ist mein Paket?\n2. Wo ist mein Paket ORD-12345?\n3. Wo ist mein Paket?", "is missing"),
    "original and translation": (lambda _: "1. where is my parcel (Wo ist mein Paket?)", "it repeats the original"),
    "no words": (lambda _: "1. ????????", "there are no words in it"),
    "no lines": (lambda _: "Wo ist mein Paket?\n" * 4, "the answer has no numbered lines"),
    "nothing": (lambda _: "", "the answer is empty"),
    "no completion": (lambda _: (200, b'{"object": "list"}'), "the answer is empty, or no chat completion"),
    "half an object": (lambda _: (200, b'{"choices": [{"mess'), "the answer is empty, or no chat completion"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_shown_and_counted_and_never_written(run: Any, german: Path, model: Model, kind: str) -> None:
    reply, why = NONSENSE[kind]
    model.reply = lambda prompt: reply(prompt) if "parcel" in prompt else ""
    shown = run("--languages", "de", "--yes")
    assert shown.exit_code == 1
    assert why in shown.stdout and "still missing" in shown.stdout
    assert len(model.asked) == 6, "each call is made once more"
    written = german.read_text() if german.exists() else ""
    assert all(
        line.lstrip().startswith(("#", "language", "generated", "examples", "unrelated", "/", "- Wo ist mein"))
        for line in written.splitlines()
    )


def test_what_is_rejected_is_asked_for_once_more(run: Any, pack: Path, model: Model) -> None:
    bad = translator(GERMAN | {"where is my parcel": "where is my parcel"})
    model.reply = lambda prompt: (bad if len(model.asked) == 1 else translator(GERMAN))(prompt)
    done = run("--languages", "de", "--yes", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [each["why"] for each in found["rejected"]] == ["it is not translated"]
    assert found["missing"] == 0 and list(found["written"].values()) == [6]
    assert LISTED.findall(model.asked[1]) == [("1", "where is my parcel")]
    assert len(load_pack(pack).policy.tasks["/delivery"].examples) == 6


def test_a_text_of_another_task_is_not_taken(run: Any, pack: Path, model: Model) -> None:
    model.reply = translator(GERMAN | {"I want my money back": "Wo ist mein Paket?!"})
    shown = run("--languages", "de", "--yes")
    assert "the pack has it already" in shown.stdout
    assert "1 still missing" in shown.stdout


def test_an_answer_that_breaks_off_loses_its_last_line(run: Any, pack: Path, model: Model) -> None:
    model.reply = lambda prompt: (200, completion(translator(GERMAN)(prompt)[:-6], "length"))
    found = json.loads(run("--languages", "de", "--yes", "--json").stdout)
    texts = {text for _, text in load_pack(pack).policy.generated}
    assert texts <= set(GERMAN.values())
    assert found["missing"] > 0


def test_a_run_that_dies_has_lost_nothing_and_goes_on(run: Any, pack: Path, german: Path, model: Model) -> None:
    refused = json.dumps({"error": {"message": "out of credit"}}).encode()
    model.reply = lambda prompt: translator(GERMAN)(prompt) if len(model.asked) == 1 else (402, refused)
    died = run("--languages", "de", "--yes")
    assert died.exit_code == 2
    assert "out of credit" in died.output and "3 texts written so far; the same command goes on" in died.output
    assert len(load_pack(pack).languages) == 3
    before = german.read_text()
    model.asked.clear()
    model.reply = translator(GERMAN)
    assert run("--languages", "de", "--yes").exit_code == 0
    assert len(model.asked) == 2
    assert german.read_text().startswith(before)
    assert len(load_pack(pack).languages) == 6


def test_ctrl_c_loses_nothing(run: Any, pack: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from router.commands import examples_run

    write = examples_run.write

    def interrupted(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(examples_run, "write", interrupted)
    stopped = run("--languages", "de", "--yes")
    assert stopped.exit_code == 2 and "goes on from there" in stopped.output
    assert len(load_pack(pack).languages) == 3


HAND = """\
# ours, with care
language: de
examples:
  /delivery:
    - Wo bleibt mein Paket?
    # the next one is rude
    - {text: "Paket!!", generated: false}
"""


def test_a_file_by_hand_is_added_to_as_generated_items(run: Any, pack: Path, german: Path, model: Model) -> None:
    german.write_text(HAND)
    assert run("--languages", "de", "--yes").exit_code == 0
    assert german.read_text() == HAND + (
        '    - {text: "Wo ist mein Paket?", generated: true}  # where is my parcel\n'
        "  /refund:\n"
        '    - {text: "Ich möchte mein Geld zurück", generated: true}  # I want my money back\n'
        '    - {text: "Bitte 20 Dollar erstatten", generated: true}  # please refund 20 dollars\n'
        "unrelated:\n"
        '  - {text: "Wie wird das Wetter?", generated: true}  # what will the weather be like\n'
    )
    policy = load_pack(pack).policy
    assert ("/delivery", "Wo bleibt mein Paket?") not in policy.generated
    assert ("/delivery", "Wo ist mein Paket?") in policy.generated


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("language: fr\n", "says that it is in French"),
        ("langage: de\n", 'unknown key "langage"'),
        ("examples: {/delivery: [Wo bleibt es]}\n", "it is not in block style"),
    ],
)
def test_a_file_that_cannot_be_added_to_is_left_alone(run: Any, german: Path, content: str, says: str) -> None:
    german.write_text(content)
    refused = run("--languages", "de", "--yes")
    assert refused.exit_code == 2
    assert says in refused.output
    assert german.read_text() == content


def test_a_folder_and_a_file_with_the_other_ending(run: Any, tmp_path: Path, model: Model) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "policy.yaml").write_text(dedent(PACK))
    (folder / "examples.de.yml").write_bytes(b"\xef\xbb\xbflanguage: de\r\ngenerated: true")
    done = CliRunner().invoke(
        app, ["examples", str(folder), "--model", "m", "--base-url", model.url, "--languages", "de", "--yes"]
    )
    assert done.exit_code == 0, done.output
    raw = (folder / "examples.de.yml").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf") and b"\n" not in raw.replace(b"\r\n", b"")
    assert len(load_pack(folder).languages) == 6


MORE = ["when does my box get here", "parcel still not here", "any news of my delivery", "where on earth is it then"]


def test_more_of_the_same(run: Any, pack: Path, model: Model) -> None:
    def reply(prompt: str) -> str:
        if "money back" in prompt:
            return (
                "1. give me my money back please\n2. I need a refund\n3. Sure, here are your messages:\n4. order 9999"
            )
        return "\n".join(f"{number}. {text}" for number, text in enumerate(MORE, 1))

    model.reply = reply
    shown = run("--more", "4", "--yes")
    assert shown.exit_code == 1
    assert "numbers, codes or placeholders of its own" in shown.stdout
    loaded = load_pack(pack)
    assert set(MORE) <= set(loaded.policy.tasks["/delivery"].examples)
    assert loaded.policy.tasks["/refund"].examples[-2:] == ("I need a refund", "give me my money back please")
    assert (
        pack.with_name("shop.examples.more.yaml")
        .read_text()
        .startswith("# English, written by a model: for review\nlanguage: en")
    )
    assert "Write 4 other messages that ask for the same, in English" in model.asked[0]
    assert not any("weather" in prompt for prompt in model.asked)
    model.asked.clear()
    run("--more", "4", "--yes")
    assert [re.search(r"Write (\d+)", prompt)[1] for prompt in model.asked] == ["2", "2"]  # type: ignore[index]


# ----------------------------------------------------------------------------------------------- how it is reached


def test_the_key_of_the_environment_is_sent(run: Any, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTER_BACKEND_API_KEY", "sk-secret-words")
    run("--languages", "de", "--yes")
    assert set(model.keys) == {"Bearer sk-secret-words"}


def test_an_alias_of_the_settings_is_asked(run: Any, model: Model, tmp_path: Path) -> None:
    config = tmp_path / "router.yaml"
    config.write_text(
        f"backends: {{box: {{type: openai, base_url: '{model.url}'}}}}\nmodels: {{strong: {{backend: box, model: big}}}}"
    )
    assert run("--languages", "de", "--yes", "--config", str(config), base_url=None).exit_code == 0
    unknown = run("--languages", "de", "--config", str(config), "--model", "strnog", base_url=None)
    assert unknown.exit_code == 2 and 'did you mean "strong"?' in unknown.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--languages", "de"], "the echo backend only repeats"),
        ([], "say what to write"),
        (["--languages", "german"], '"german" is no language code'),
        (["--languages", "de-AT"], 'did you mean "de"?'),
        (["--languages", "de", "--base-url", "localhost:11434"], "must begin with http://"),
    ],
)
def test_what_cannot_run_says_why(run: Any, arguments: list[str], says: str) -> None:
    refused = run(*arguments, base_url=None)
    assert refused.exit_code == 2
    assert says in refused.output


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ((401, b'{"error": {"message": "bad key"}}'), 'status 401: "bad key" (correct the key'),
        ((404, b'{"error": "no such model"}'), 'status 404: "no such model" (correct --model'),
        ((400, b"<html>"), "status 400 (try again later"),
    ],
)
def test_what_the_server_refuses_is_told(run: Any, german: Path, model: Model, reply: Any, says: str) -> None:
    model.reply = lambda _: reply
    refused = run("--languages", "de", "--yes")
    assert refused.exit_code == 2
    assert says in refused.output and "0 texts written so far" in refused.output
    assert not german.exists()


def test_a_server_that_is_down_or_slow_is_told(
    run: Any, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        down = run("--languages", "de", "--yes", base_url=f"http://127.0.0.1:{probe.getsockname()[1]}/v1")
    assert down.exit_code == 2 and "start the server, or correct --base-url" in down.output
    let_go = threading.Event()
    model.reply = lambda _: (let_go.wait(20), "")[1]
    config = tmp_path / "router.yaml"
    config.write_text(f"backends: {{box: {{type: openai, base_url: '{model.url}'}}}}\nretries: {{attempts: 0}}")
    slow = run("--languages", "de", "--yes", "--timeout", "1", "--config", str(config), base_url=None)
    let_go.set()
    assert slow.exit_code == 2 and "wait longer with --timeout" in slow.output


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_price_is_told_where_it_is_known(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("litellm") is None:
        pytest.skip("litellm is not installed")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-words")
    plan = json.loads(run("--languages", "de", "--json", "--model", "gpt-4o-mini", base_url=None).stdout)["plan"]
    assert plan["address"] == "https://api.openai.com/v1"
    assert 0.00001 < plan["dollars"] < 0.01


def test_an_answer_without_an_end_is_ended(run: Any, pack: Path, model: Model) -> None:
    ended = threading.Event()

    def endless(prompt: str) -> Iterator[str]:
        yield translator(GERMAN)(prompt) + "\n"
        try:
            while True:
                yield "Ich kann noch mehr sagen.\n" * 9
        finally:
            ended.set()

    model.reply = endless
    assert run("--languages", "de", "--yes").exit_code == 0
    assert ended.wait(10)
    assert len(load_pack(pack).languages) == 6
