"""Floor 1: backends. What answers: OpenAI-compatible servers, litellm for all others, and the echo that ships."""
