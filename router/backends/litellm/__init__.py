"""The backend for every provider that speaks none of the client's formats, by way of litellm.

backend       LiteLLMBackend, and `bridge_to`, which makes one to a server that speaks a single format
arguments     what litellm is called with: a constant list of names
formats       Responses and Anthropic Messages as chats, and back; their tokens
stream        streams of litellm's, with an end that can be trusted
prices        what a call costs, by litellm's table
library       the import of litellm in a thread, and what it raises as a BackendError
"""
