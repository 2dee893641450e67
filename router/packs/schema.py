"""The JSON Schemas of policy files and of files of examples, for editors that complete and check while one types.

    python -m router.packs.schema policies

writes them from the forms (draft 2020-12), and beside their folder the page of reference, `docs/pack-keys.md`. To use
one, begin a policy file with `# yaml-language-server: $schema=../schema.json`, a file of examples with
`$schema=../examples.schema.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from router.packs.example_files import ExamplesForm
from router.packs.forms import PackForm
from router.packs.reference import reference
from router.packs.words import ClosedModel

SCHEMAS: dict[str, tuple[type[ClosedModel], str, str]] = {
    "schema.json": (
        PackForm,
        "Prompt Router policy",
        "The root file of a pack, a single-file pack, or (keys of a task only) the file of one task.",
    ),
    "examples.schema.json": (
        ExamplesForm,
        "Prompt Router examples",
        "A file of examples beside a pack: what users write, by task, usually in another language.",
    ),
}
"""The files of schemas, each with its form, its title and what it describes."""


def json_schema(file: str = "schema.json") -> dict[str, Any]:
    """Return one of the JSON Schemas."""
    form, title, description = SCHEMAS[file]
    body = _tidied(form.model_json_schema(by_alias=True))
    named = {name.lstrip("_"): part for name, part in body["$defs"].items()}
    body["$defs"] = dict(sorted(named.items()))
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
    }
    return head | {key: value for key, value in body.items() if key not in head}


def _tidied(schema: Any) -> Any:
    """Say what pydantic leaves open: no key may be empty (null), and no name may break the pattern of names.

    Titles that only repeat a key are dropped, and the underscores before the names of forms that no other file uses.
    """
    if isinstance(schema, list):
        return [_tidied(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: _tidied(part)
        for key, part in schema.items()
        if not (key == "default" and part is None) and not (key == "title" and isinstance(part, str))
    }
    if "$ref" in kept:
        kept["$ref"] = kept["$ref"].replace("/_", "/")
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    options = [part for part in kept.get("anyOf", ()) if part != {"type": "null"}]
    if len(options) == 1:
        del kept["anyOf"]
        return options[0] | kept
    return kept | {"anyOf": options} if options else kept


def schema_text(file: str) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(json_schema(file), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "policies")
    for name in SCHEMAS:
        (folder / name).write_text(schema_text(name), encoding="utf-8")
    (folder.parent / "docs" / "pack-keys.md").write_text(reference(), encoding="utf-8")
