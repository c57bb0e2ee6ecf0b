"""Build prompts within a model's budget of tokens."""
