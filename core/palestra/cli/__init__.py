"""The command line: a module a noun or verb, heavy imports inside the functions."""
