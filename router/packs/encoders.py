"""Which encoder reads the messages: the word in the settings, and the model file that it may name.

Rules. `static` and `lexical` ship with this project. `onnx:PATH` names a model file or a folder that holds
`model.onnx`; PATH is relative to the file that it stands in, and may lead out of the pack, since models are large and
shared. Its `tokenizer.json` lies beside the model or one folder up. `litellm:MODEL` names a model of a provider. What
an encoder needs installed must be installed when the pack is loaded.

An encoder that is asked of every message is a cascade whose share is one: whatever fails, the shipped encoder decides.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, WithJsonSchema

from router.core.errors import Fault, did_you_mean
from router.core.policy import EncoderCascade, PolicySettings
from router.packs.reading import YamlNode
from router.packs.words import ClosedModel, optional, wrong

SHIPPED = ("static", "lexical")
_EXAMPLES = {"onnx": "onnx:models/minilm", "litellm": "litellm:openai/text-embedding-3-small"}
_NEEDS = {"onnx": ("onnxruntime", "tokenizers"), "litellm": ("litellm",)}

DEFAULT_SHARE = 0.2
DEFAULT_BUDGET_MS = 30
ALWAYS_BUDGET_MS = 500
"""For an encoder that is asked of every message: the operator has chosen it over speed."""


def _strong(word: str) -> str:
    kind, colon, rest = word.partition(":")
    if kind in _EXAMPLES and colon and rest.strip():
        return word
    if kind in _EXAMPLES:
        raise wrong(f'"{word[:60]}" does not say which model', f"for example {_EXAMPLES[kind]}")
    known = [f"{name}:{'PATH' if name == 'onnx' else 'MODEL'}" for name in _EXAMPLES]
    raise wrong(f'no model is called "{word[:60]}"', did_you_mean(word, known))


def _encoder(word: str) -> str:
    if word in SHIPPED:
        return word
    if word.partition(":")[0] in _EXAMPLES:
        return _strong(word)
    raise wrong(f'no encoder is called "{word[:60]}"', did_you_mean(word, (*SHIPPED, "onnx:PATH", "litellm:MODEL")))


_MODEL = r"(onnx|litellm):.*\S.*"
Strong: TypeAlias = Annotated[
    str, AfterValidator(_strong), WithJsonSchema({"type": "string", "pattern": f"^{_MODEL}$"})
]
Encoder: TypeAlias = Annotated[
    str, AfterValidator(_encoder), WithJsonSchema({"type": "string", "pattern": f"^({'|'.join(SHIPPED)}|{_MODEL})$"})
]


class CascadeForm(ClosedModel):
    """A stronger encoder for the messages that the shipped one is least sure of."""

    encoder: Strong | None = optional("onnx:PATH or litellm:MODEL", example="onnx:models/minilm")
    share: float | None = optional(
        "Share of the examples that are unsure enough; 0: none (0.2)", example=0.1, ge=0, le=1
    )
    budget_ms: int | None = optional(
        "Longest wait for it, in milliseconds; then it goes without (30)", example=50, ge=1, le=60_000
    )


def located(settings: Mapping[str, Any], node: YamlNode, faults: list[Fault]) -> dict[str, Any]:
    """Return a layer's settings with the paths of models made absolute. `node` is that of the settings."""
    found = dict(settings)
    if "encoder" in found:
        found["encoder"] = _located(found["encoder"], node.at("encoder"), faults)
    if "encoder" in found.get("cascade", {}):
        word = found["cascade"]["encoder"]
        found["cascade"] = {**found["cascade"], "encoder": _located(word, node.at("cascade", "encoder"), faults)}
    return found


def _located(word: str, node: YamlNode, faults: list[Fault]) -> str:
    kind, _, rest = word.partition(":")
    for needed in _NEEDS.get(kind, ()):
        if importlib.util.find_spec(needed) is None:
            hint = f"pip install 'prompt-router[{kind}]'"
            faults.append(node.fault(f"the encoder {kind}: needs {needed}, which is not installed", hint))
            return word
    if kind != "onnx":
        return word
    path = Path(os.path.abspath(Path(node.file).parent / rest.strip()))
    model = path / "model.onnx" if path.is_dir() else path
    if not model.is_file():
        hint = "PATH is a model file or a folder with model.onnx, relative to the file that it stands in"
        faults.append(node.fault(f"there is no model {model}", hint))
    elif not any((folder / "tokenizer.json").is_file() for folder in (model.parent, model.parent.parent)):
        hint = "it comes with every model of Hugging Face that has a fast tokenizer; put it beside the model"
        faults.append(node.fault(f"there is no tokenizer.json beside {model}", hint))
    return f"onnx:{model}"


def model_files(settings: Mapping[str, Any]) -> list[Path]:
    """Return the model files that located settings name, for whoever watches for changes."""
    words = (settings.get("encoder", ""), settings.get("cascade", {}).get("encoder") or "")
    return [Path(word.removeprefix("onnx:")) for word in words if word.startswith("onnx:")]


def chosen(settings: Mapping[str, Any], node: YamlNode, faults: list[Fault]) -> dict[str, Any]:
    """Return the fields `encoder` and `cascade` of the policy's settings."""
    encoder = settings.get("encoder", SHIPPED[0])
    cascade = settings.get("cascade")
    if encoder not in SHIPPED:
        if cascade is not None and cascade.get("share") != 0:
            hint = "remove one of them: the encoder is asked of every message, the cascade's of a share"
            faults.append(node.at("cascade").fault(f"a cascade does not go together with {encoder}", hint))
        return {"cascade": EncoderCascade(encoder, 1.0, ALWAYS_BUDGET_MS / 1000)}
    if cascade is None or cascade.get("share") == 0:
        return {"encoder": encoder}
    if "encoder" not in cascade:
        hint = f"add encoder: {_EXAMPLES['onnx']} or {_EXAMPLES['litellm']}"
        faults.append(node.at("cascade").fault("the cascade names no encoder", hint))
        return {"encoder": encoder}
    budget_s = cascade.get("budget_ms", DEFAULT_BUDGET_MS) / 1000
    return {
        "encoder": encoder,
        "cascade": EncoderCascade(cascade["encoder"], cascade.get("share", DEFAULT_SHARE), budget_s),
    }


def portable(settings: PolicySettings) -> PolicySettings:
    """Return settings as a revision counts them: a model stands for what it holds, not for where it lies."""
    cascade = settings.cascade
    if cascade is None or not cascade.encoder.startswith("onnx:"):
        return settings
    path = Path(cascade.encoder.removeprefix("onnx:"))
    try:
        status = path.stat()
        digest = _digest(path, status.st_mtime_ns, status.st_size)
    except OSError:
        return settings  # a fault says so already
    return replace(settings, cascade=replace(cascade, encoder=f"onnx:{digest}"))


@lru_cache(maxsize=16)
def _digest(path: Path, changed_ns: int, size: int) -> str:
    """Return the SHA-256 of a file; it is read again when its time of change or its size is another."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
