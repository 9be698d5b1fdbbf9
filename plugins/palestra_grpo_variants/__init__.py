"""Variants of GRPO: Dr. GRPO, DAPO, GSPO, CISPO, with process rewards, and off policy."""
