"""The double that ships: answers with the request it got, made readable. Needs no model and no key.

backend       EchoBackend: what it serves
formats       its answers in the three wire formats
readable      a request made readable
"""

from router.backends.echo.backend import EchoBackend

__all__ = ["EchoBackend"]
