"""Evaluation: metrics with intervals, and the paper's claims judged from them.

`metrics` turns graded samples into pass@1, pass@k, cons@k and the rest, each with a 95% interval;
`pooling` reads those numbers back from ``results.json`` and averages environments; `claims` says
which of the paper's claims a run reproduced.
"""
