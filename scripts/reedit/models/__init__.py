"""A language model, its tokenizer, and what it says."""
