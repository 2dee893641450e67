"""Floor 1: backends. What answers: servers that speak the client's format, litellm for all others, and the echo.

passthrough   PassThroughBackend: bytes out, bytes back, over `http`
azure         where Azure's addresses are
token_file    TokenFile: a bearer token that is kept fresh in a file
http          HTTP/1.1 to one origin, over kept connections
litellm       LiteLLMBackend: every provider that litellm knows
bridged       BridgedBackend: what a server speaks goes to it, the rest over a bridge (`bridge_to`)
echo          EchoBackend: answers with the request it got, made readable
"""

from router.backends import azure
from router.backends.bridged import BRIDGED, BridgedBackend
from router.backends.echo import EchoBackend
from router.backends.http.limits import Limits, Timeouts
from router.backends.litellm.backend import LiteLLMBackend, bridge_to
from router.backends.passthrough import FORWARDED_HEADERS, PassThroughBackend
from router.backends.token_file import TokenFile

__all__ = [
    "BRIDGED",
    "FORWARDED_HEADERS",
    "BridgedBackend",
    "EchoBackend",
    "Limits",
    "LiteLLMBackend",
    "PassThroughBackend",
    "Timeouts",
    "TokenFile",
    "azure",
    "bridge_to",
]
