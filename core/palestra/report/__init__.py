"""The report of a run: one static HTML page, PNG curves, and the tables that end a terminal run.

`page.build_report` writes ``report/index.html``; `summary.summary_tables` returns what
``palestra run`` prints last. Everything a model wrote is hostile: see `html`.
"""
