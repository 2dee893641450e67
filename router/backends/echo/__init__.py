"""The double that ships: answers with the request it got, made readable. Needs no model and no key.

backend       EchoBackend: `reply` is what it says, before `chat`, `messages` or `responses` give it a format
readable      a request made readable
example       a small value that fits a JSON Schema
faults        what goes wrong when the model's name asks for it
"""

from router.backends.echo.backend import EchoBackend

__all__ = ["EchoBackend"]
