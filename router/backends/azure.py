"""Azure OpenAI as a backend: where its two kinds of address are, and what goes up in the query.

    v1 (no api_version, or `preview`)    ENDPOINT/openai/v1/chat/completions; the model's name is the deployment's
    classic (a date)                     ENDPOINT/openai/deployments/MODEL/chat/completions?api-version=2024-10-21

Source: the reference of Azure OpenAI, "API version lifecycle". The bytes are those of OpenAI's formats.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from router.core.ports import BackendRequest

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:-preview)?")
_OF_A_DEPLOYMENT = re.compile(r"/(?:chat/completions|completions|embeddings|audio/.*|images/.*)")


def is_classic(api_version: str) -> bool:
    """Say whether a version of the API is asked at classic addresses."""
    return bool(_DATE.fullmatch(api_version))


def base_of(endpoint: str, api_version: str) -> str:
    """Return what every address begins with.

    >>> base_of("https://shop.openai.azure.com/openai/v1", "")
    'https://shop.openai.azure.com/openai/v1'
    """
    resource = endpoint.rstrip("/").removesuffix("/v1").removesuffix("/openai")
    return f"{resource}/openai" if is_classic(api_version) else f"{resource}/openai/v1"


def path_with(api_version: str) -> Callable[[BackendRequest], str] | None:
    """Return where a request is asked; None where that is its own path.

    >>> path_with("2024-10-21")(BackendRequest("/chat/completions", b"", model="gpt-5"))
    '/deployments/gpt-5/chat/completions?api-version=2024-10-21'
    """
    if not api_version:
        return None
    classic = is_classic(api_version)

    def path_of(outgoing: BackendRequest) -> str:
        path = outgoing.path
        if classic and outgoing.model and _OF_A_DEPLOYMENT.fullmatch(path):
            path = f"/deployments/{quote(outgoing.model, safe='')}{path}"
        return f"{path}{'&' if '?' in path else '?'}api-version={api_version}"

    return path_of
