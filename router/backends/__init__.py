"""Floor 1: backends. What answers: servers that speak the client's format, litellm for all others, and the echo.

passthrough   PassThroughBackend: bytes out, bytes back, over
pool            a bounded pool of kept connections to one origin (`origin`), each of them
connection        HTTP/1.1 as it comes from the socket, for one
exchange            request and its answer, waited for by one reader
transport       the seam around these: time-outs, limits, and the name of each failure
via_litellm   LiteLLMBackend: `litellm_arguments` in, `litellm_stream` and `litellm_errors` out; `litellm_formats` for
                formats that are no chat, `litellm_count` for their tokens, `litellm_loading` for the import
bridged       BridgedBackend: what a server speaks goes to it, the rest over a bridge (`bridge_to`)
echo          EchoBackend: `readable` says what it got; `echo_chat`, `echo_responses` (`echo_kept`) and `echo_messages`
                give it a format, `echo_embeddings` and `echo_lists` do the rest; `example` and `echo_faults` help
"""

from router.backends.allowlist import FORWARDED_HEADERS
from router.backends.bridged import BRIDGED, BridgedBackend
from router.backends.echo import EchoBackend
from router.backends.passthrough import PassThroughBackend
from router.backends.transport import Limits, Timeouts
from router.backends.via_litellm import LiteLLMBackend, bridge_to

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
