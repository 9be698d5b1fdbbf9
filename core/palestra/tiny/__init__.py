"""The embedded default: a tiny base model and student, their tokenizer, corpus and builder."""
