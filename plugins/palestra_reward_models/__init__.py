"""Reward models: neural, an LLM judge, and rules on length, repetition and agreement."""
