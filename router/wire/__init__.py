"""Floor 1: wire formats. Pure: parse a body, weave a mix into it, watch a stream, shape an error.

strict_json      what JSON is taken from a client, on every route
loose_json       what JSON is taken from a backend: whatever its clients take
splice           edits to a body that leave every other byte alone
edits            what the weaves share: text put into content, members put into a body
placement        which text goes where in a conversation, for every format
chat             /chat/completions: parse, and the wire itself
chat_weave       /chat/completions: the edits that a weave makes
openai_format    what all of OpenAI's formats share
responses        /responses: parse, and the wire itself
responses_weave  /responses: the edits that a weave makes
plain            /completions, /embeddings and /moderations: passed through, nothing woven
messages         /messages and /messages/count_tokens: parse, and the wires themselves
messages_weave   /messages: the edits that a weave makes
cache_marks      which of our texts end with a mark for the provider's cache, in both providers' formats
events           server-sent events: where one ends, its name and its data
spoken           the words of an answer, whole or streamed, in every format
message_events   the end of a streamed answer in Anthropic's form
messages_faults  errors in Anthropic's shape
chunks           the end of a streamed answer of /chat/completions
response_events  the end of a streamed answer of /responses
faults           errors in OpenAI's shape, and the status of every error
"""

from router.wire.faults import status_of

__all__ = ["status_of"]
