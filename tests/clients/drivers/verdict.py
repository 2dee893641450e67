"""The type of the structured answers."""

from __future__ import annotations

import pydantic


class Verdict(pydantic.BaseModel):
    """What a structured answer says."""

    refund: bool
    days: int
    reason: str
