"""Read the cues that a policy declares, from headers and metadata, typed; and detect those that lie in the words.

What a client sends is never trusted to be what the pack expects: a value that does not fit falls to the cue's default
and is counted, and only a cue that the pack calls required makes it an error. Free text is cleaned before anything sees
it. All look-ups are laid out when the policy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from router.core.errors import RequestError
from router.core.policy import Cue, CueValue, Policy
from router.cues.complexity import detect_complexity
from router.cues.follow_up import detect_follow_up
from router.cues.language import detect_language
from router.cues.values import Unfit, reader_of

Detector = Callable[[str, int], CueValue | None]

DETECTORS: Mapping[str, Detector] = {
    "language": lambda text, turn: detect_language(text),
    "complexity": lambda text, turn: detect_complexity(text),
    "follow_up": detect_follow_up,
}


class DeclaredCues:
    """Implements `core.ports.CueReader` for one policy."""

    def __init__(self, policy: Policy) -> None:
        self._sourced = [(cue, reader_of(cue)) for cue in policy.cues.values() if cue.kind != "detect"]
        self._detected = [
            (cue.name, DETECTORS[cue.detector], cue.default) for cue in policy.cues.values() if cue.kind == "detect"
        ]

    def read(
        self, headers: Mapping[str, str], metadata: Mapping[str, Any]
    ) -> tuple[dict[str, CueValue], tuple[str, ...]]:
        """Return the cues of a request by name, and the codes of those that fell to their default.

        Raises RequestError (400) when a required cue is missing or does not fit.
        """
        values: dict[str, CueValue] = {}
        faults: list[str] = []
        for cue, read in self._sourced:
            given, place = _find(cue, headers, metadata)
            if given is None:
                if cue.required:
                    raise _missing(cue)
            else:
                try:
                    values[cue.name] = read(given)
                    continue
                except Unfit as why:
                    if cue.required:
                        raise RequestError(f"{place}: {why}.", code="invalid_cue", param=place) from None
                    faults.append(f"cue_invalid:{cue.name}")
            if cue.default is not None:
                values[cue.name] = cue.default
        return values, tuple(faults)

    def detect(self, text: str, turn: int) -> dict[str, CueValue]:
        """Return the cues that were found in the words of user turn number `turn`."""
        values: dict[str, CueValue] = {}
        for name, detector, default in self._detected:
            value = detector(text, turn)
            if value is None:
                value = default
            if value is not None:
                values[name] = value
        return values


def reader_for(policy: Policy) -> DeclaredCues:
    """Return the reader of a policy's cues."""
    return DeclaredCues(policy)


def _find(cue: Cue, headers: Mapping[str, str], metadata: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the first value that the request has for a cue, and where it stood."""
    for kind, name in cue.sources:
        given = headers.get(name) if kind == "header" else metadata.get(name)
        if given is not None and given != "":
            return given, _place(kind, name)
    return None, ""


def _place(kind: str, name: str) -> str:
    """Return the place of a value as an error's `param` names it."""
    return name if kind == "header" else f"metadata.{name}"


def _missing(cue: Cue) -> RequestError:
    places = " or ".join(f"the header {name}" if kind == "header" else f"metadata.{name}" for kind, name in cue.sources)
    return RequestError(
        f'This policy needs the cue "{cue.name}": send it as {places}.',
        code="missing_cue",
        param=_place(*cue.sources[0]) if cue.sources else f"metadata.{cue.name}",
    )
