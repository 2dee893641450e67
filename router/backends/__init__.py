"""Floor 1: backends. What answers: OpenAI-compatible servers, litellm for all others, and the echo that ships.

passthrough   PassThroughBackend: bytes out, bytes back, over
pool            a bounded pool of kept connections to one origin (`origin`), each of them
connection        HTTP/1.1 as it comes from the socket, for one
exchange            request and its answer, waited for by one reader
transport       the seam around these: time-outs, limits, and the name of each failure
via_litellm   LiteLLMBackend: `litellm_arguments` in, `litellm_stream` and `litellm_errors` out
echo          EchoBackend: `readable` says what it got; `example`, `echo_answers` and `echo_faults` do the rest
"""

from router.backends.allowlist import FORWARDED_HEADERS
from router.backends.bridged import BridgedBackend
from router.backends.echo import EchoBackend
from router.backends.passthrough import PassThroughBackend
from router.backends.transport import Limits, Timeouts
from router.backends.via_litellm import LiteLLMBackend

__all__ = [
    "FORWARDED_HEADERS",
    "BridgedBackend",
    "EchoBackend",
    "Limits",
    "LiteLLMBackend",
    "PassThroughBackend",
    "Timeouts",
]
