"""The process that imports an installed distribution's plugins, so that no command has to.

It writes one line of JSON for each event to a pipe of its own: plugins print to stdout, and worse.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import math
import os
import signal
import sys
from typing import Any

from palestra.plugins.facts import to_json
from palestra.plugins.installed import Point
from palestra.plugins.loading import load_installed


def main(request: dict[str, Any]) -> None:
    """Load the plugins that `palestra.plugins.probe` asks for, one after the other, and exit.

    Args:
        request: ``distribution``, ``version``, ``points`` as pairs of name and value,
            ``answers``, the pipe's file descriptor, and ``deadline_s`` for each plugin.
    """
    os.set_inheritable(request["answers"], False)
    faulthandler.enable()  # a segmentation fault says where
    me = os.getpid()
    limit_s = math.ceil(request["deadline_s"]) + 5
    for number, (name, value) in enumerate(request["points"]):
        signal.alarm(limit_s)  # the end of this process where the command was killed meanwhile
        _say(request["answers"], {"begins": number})
        plugin = load_installed(Point(name, value), request["distribution"], request["version"])
        if os.getpid() != me:
            os._exit(0)  # a child that the plugin forked, and that came back from its import
        _say(request["answers"], {"found": number, "plugin": to_json(plugin)})
    _say(request["answers"], {"done": True})
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(0)  # whatever threads and exit handlers the plugins left


def _say(answers: int, message: dict[str, object]) -> None:
    line = (json.dumps(message) + "\n").encode("ascii")
    while line:
        line = line[os.write(answers, line) :]
