"""What a fit needs of a policy, and nothing else.

It crosses to the fitting process as JSON, and its digest names the artefact: an edit of instruction texts, which
changes the revision but not what is recognised, does not cost a fit.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from router.classify.certify import Tolerance
from router.core.policy import ROOT, Cascade, Dialogue, DialogueTurn, Policy


@dataclass(frozen=True, slots=True)
class Material:
    """Paths in pre-order, examples and first words on what it is about by path, and what holds for all.

    `unrelated` are the pack's own texts that no task answers.
    """

    paths: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    about: tuple[tuple[str, str], ...]
    unrelated: tuple[str, ...]
    boilerplate: tuple[str, ...]
    tolerance: Tolerance
    encoder: str = "static"
    cascade: Cascade | None = None
    dialogues: tuple[Dialogue, ...] = ()

    @classmethod
    def of(cls, policy: Policy) -> Material:
        """Return the material of a policy. Examples at `/` are texts that no task answers."""
        paths = tuple(sorted(policy.tasks, key=lambda path: path.split("/") if path != ROOT else []))
        settings = policy.settings
        return cls(
            paths=paths,
            examples=tuple((path, text) for path in paths if path != ROOT for text in policy.tasks[path].examples),
            about=tuple((path, policy.tasks[path].about.split(". ")[0]) for path in paths if policy.tasks[path].about),
            unrelated=(*policy.unrelated, *policy.tasks[ROOT].examples),
            boilerplate=policy.boilerplate,
            tolerance=Tolerance(
                error_domain=settings.error_domain,
                error_task=settings.error_task,
                threshold_domain=settings.threshold_domain,
                threshold_task=settings.threshold_task,
                high_stakes=tuple(path for path in paths if policy.tasks[path].stakes == "high"),
            ),
            encoder=settings.encoder,
            cascade=settings.cascade,
            dialogues=policy.dialogues,
        )

    def dump(self) -> str:
        """Return the JSON form. Lone surrogates survive, escaped."""
        tolerance = self.tolerance
        stored = {
            "paths": self.paths,
            "examples": self.examples,
            "about": self.about,
            "unrelated": self.unrelated,
            "boilerplate": self.boilerplate,
            "encoder": self.encoder,
            "cascade": self.cascade and asdict(self.cascade),
            "dialogues": [
                [[turn.role, turn.text, turn.task] for turn in dialogue.turns] for dialogue in self.dialogues
            ],
            "tolerance": {name: getattr(tolerance, name) for name in tolerance.__slots__},
        }
        return json.dumps(stored, ensure_ascii=True, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Material:
        """Return the material that `dump` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        stored: dict[str, Any] = json.loads(text)
        tolerance = stored["tolerance"] | {"high_stakes": tuple(stored["tolerance"]["high_stakes"])}
        return cls(
            paths=tuple(stored["paths"]),
            examples=tuple((path, text) for path, text in stored["examples"]),
            about=tuple((path, text) for path, text in stored["about"]),
            unrelated=tuple(stored["unrelated"]),
            boilerplate=tuple(stored["boilerplate"]),
            tolerance=Tolerance(**tolerance),
            encoder=str(stored["encoder"]),
            cascade=Cascade(**stored["cascade"]) if stored["cascade"] else None,
            dialogues=tuple(
                Dialogue(tuple(DialogueTurn(role, text, task) for role, text, task in turns))
                for turns in stored["dialogues"]
            ),
        )

    def digest(self, recipe: str) -> str:
        """Return the name of what a fit by this recipe gives: 64 hexadecimal digits."""
        return hashlib.sha256(f"{recipe}\n{self.dump()}".encode()).hexdigest()
