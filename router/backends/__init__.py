"""Floor 1: backends. What answers: servers that speak the client's format, litellm for all others, and the echo.

passthrough   PassThroughBackend: bytes out, bytes back, over `http`
http          HTTP/1.1 to one origin, over kept connections
litellm       LiteLLMBackend: every provider that litellm knows
bridged       BridgedBackend: what a server speaks goes to it, the rest over a bridge (`bridge_to`)
echo          EchoBackend: answers with the request it got, made readable
"""

from router.backends.bridged import BRIDGED, BridgedBackend
from router.backends.echo import EchoBackend
from router.backends.http.limits import Limits, Timeouts
from router.backends.litellm.backend import LiteLLMBackend, bridge_to
from router.backends.passthrough import FORWARDED_HEADERS, PassThroughBackend

__all__ = [
    "BRIDGED",
    "FORWARDED_HEADERS",
    "BridgedBackend",
    "EchoBackend",
    "Limits",
    "LiteLLMBackend",
    "PassThroughBackend",
    "Timeouts",
    "bridge_to",
]
