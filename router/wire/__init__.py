"""Floor 1: wire formats. Pure: parse a body, weave a mix into it, watch a stream, shape an error.

format           the frame of every format, and how another one is written on it
chat             /chat/completions: what a body says, and where text goes
chat_stream      /chat/completions: the end of a streamed answer, and the words of an answer
messages         /messages and /messages/count_tokens: what a body says, and where text goes
messages_stream  /messages: the end of a streamed answer, and the words of an answer
responses        /responses, /responses/input_tokens and /responses/compact: what a body says
responses_weave  /responses: where text goes
responses_stream /responses: the end of a streamed answer, and the words of an answer
as_stream        a whole answer as the stream that its client asked for
plain            /completions, /embeddings and /moderations: passed through, nothing woven
placement        which text goes where in a conversation, for every format
cache_marks      which of our texts end with a mark for the provider's cache, in both providers' formats
edits            edits to a body that leave every other byte alone
strict_json      what JSON, and which names, are taken from a client, on every route
stream           server-sent events: where one ends, what it says; what JSON is taken from a backend
faults           errors in OpenAI's and in Anthropic's shape, and the status of every error
"""

from router.wire.faults import status_of

__all__ = ["status_of"]
