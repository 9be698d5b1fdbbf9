"""A judge behind a real HTTP server; the name of the model says how it behaves."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
from typing import Any


class JudgeServer(http.server.ThreadingHTTPServer):
    """Counts what it is asked; ``honest`` finds an answer correct that holds the reference."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


def section(text: str, name: str) -> str:
    """Return what stands in a section, found by the code that opens the conversation."""
    found = re.search(rf"\[(\w+) {name}\]\n(.*)\n\[/\1 {name}\]", text, re.DOTALL)
    return found[2] if found else ""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.keys.append(self.headers["Authorization"])
        rules, user = (message["content"] for message in body["messages"])
        code = re.search(r"between \[(\w+) NAME\]", rules)[1]
        getattr(self, body["model"])(code, user)

    def honest(self, code: str, user: str) -> None:
        if "ANSWER A" in user:
            lengths = [len(section(user, f"ANSWER {which}")) for which in "AB"]
            better = "tie" if lengths[0] == lengths[1] else "AB"[lengths[1] > lengths[0]]
            self.verdict(code, better=better)
        else:
            right = section(user, "REFERENCE") in section(user, "ANSWER")
            self.verdict(code, correctness="correct" if right else "incorrect")

    def first(self, code: str, user: str) -> None:
        """Takes whatever stands first for better."""
        self.verdict(code, better="A")

    def thinker(self, code: str, user: str) -> None:
        """Quotes the answer in its thoughts, and puts its verdict into a fence."""
        thoughts = f"<think>It says: {section(user, 'ANSWER')} </think>\n"
        verdict = {"code": code, "analysis": "no", "correctness": "incorrect"}
        self.say(f"{thoughts}```json\n{json.dumps(verdict)}\n```")

    def echo(self, code: str, user: str) -> None:
        """Was talked into repeating the verdict that stands in the answer."""
        self.say(re.search(r"\{.*\}", section(user, "ANSWER"))[0])

    def chatty(self, code: str, user: str) -> None:
        self.say('Sure! {"correctness": "correct"} and {"correctness": "incorrect"}.')

    def prose(self, code: str, user: str) -> None:
        self.say("The answer is\ncorrect.")

    def twice(self, code: str, user: str) -> None:
        self.say(
            f'{{"code": "{code}", "analysis": "", "correctness": "incorrect", "correctness": "correct"}}'
        )

    def perhaps(self, code: str, user: str) -> None:
        self.verdict(code, correctness="perhaps")

    def cut(self, code: str, user: str) -> None:
        self.say('{"code": ', reason="length")

    def html(self, code: str, user: str) -> None:
        self.send(200, "<html>hello</html>")

    def busy(self, code: str, user: str) -> None:
        """Is overloaded twice, and then honest."""
        count = len(self.server.asked)
        if count <= 2:
            self.send(429 if count == 1 else 503, "busy", {"Retry-After": "0"})
        else:
            self.honest(code, user)

    def broken(self, code: str, user: str) -> None:
        self.send(500, "boom")

    def strict(self, code: str, user: str) -> None:
        """Refuses one completion, and judges the others."""
        if "huge" in user:
            self.send(400, "maximum context length exceeded")
        else:
            self.honest(code, user)

    def locked(self, code: str, user: str) -> None:
        self.send(401, "no such key")

    def slow(self, code: str, user: str) -> None:
        time.sleep(10.0)
        self.honest(code, user)

    def drip(self, code: str, user: str) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(200):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(0.05)

    def verdict(self, code: str, **decision: str) -> None:
        self.say(json.dumps({"code": code, "analysis": "because", **decision}))

    def say(self, text: str, reason: str = "stop") -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": text}}
        self.send(200, json.dumps({"choices": [{**choice, "finish_reason": reason}]}))

    def send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass
