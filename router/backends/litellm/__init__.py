"""The backend for every provider that speaks none of the client's formats, by way of litellm.

backend       LiteLLMBackend, and `bridge_to`, which makes one to a server that speaks a single format
arguments     what litellm is called with: a constant list of names
formats       Responses and Anthropic Messages as chats, and back; `count` for their tokens
stream        streams of litellm's, with an end that can be trusted
errors        what litellm raises, as a BackendError
loading       the import of litellm, in a thread
"""
