"""What litellm makes Python warn of: it leaves sockets to the garbage collector, and its types make pydantic warn."""

from __future__ import annotations

import pytest

LITELLM_WARNS = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning", "DeprecationWarning", "UserWarning")
]
