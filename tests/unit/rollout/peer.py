"""A local HTTP server that speaks vLLM's routes and, when told to, misbehaves as real ones do."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

STOP = 2


class Peer:
    """Answers ``ids of the prompt + 1`` at log-prob -0.5, with the weights it was last given.

    Attributes:
        fault: how it misbehaves; see `_generate`.
        faults: how many times it does, before it mends.
        version: what it calls its weights.
        asked: completions that it was asked for.
        received: bytes of weights that it was given.
    """

    def __init__(self, port: int = 0, fault: str = "", faults: float = float("inf")) -> None:
        self.fault, self.faults = fault, faults
        self.version, self.open_update = "default", False
        self.asked: list[dict[str, Any]] = []
        self.received = 0
        self.resets = 0
        handler = type("Handler", (_Handler,), {"peer": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def misbehaves(self) -> str:
        if self.fault and self.faults > 0:
            self.faults -= 1
            return self.fault
        return ""


class _Handler(BaseHTTPRequestHandler):
    peer: Peer

    def log_message(self, *args: object) -> None: ...

    def do_GET(self) -> None:
        if self.path == "/weight_info":
            self._say({"weight_version": self.peer.version})
        elif self.path == "/v1/models":
            self._say({"data": [{"max_model_len": 64}]})
        else:
            self._say({})

    def do_POST(self) -> None:
        peer, route = self.peer, self.path.partition("?")[0]
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        body: Any = json.loads(raw) if raw else {}
        if peer.fault == "no routes" and route == "/pause":
            self._say({"detail": "Not Found"}, 404)
        elif route == "/inference/v1/generate":
            peer.asked.append(body)
            self._generate(body, peer.misbehaves())
        elif route == "/start_weight_update":
            status = 500 if peer.open_update else 200
            peer.open_update = True
            self._say({}, status)
        elif route == "/update_weights":
            part = body["update_info"]
            if "file" in part and peer.fault == "elsewhere":
                return self._say({"error": "FileNotFoundError: no such file"}, 500)
            data = Path(part["file"]).read_bytes() if "file" in part else part["safetensors"]
            peer.received += len(data)
            self._say({})
        elif route == "/finish_weight_update":
            peer.open_update = False
            peer.version = body.get("weight_version", peer.version)
            self._say({})
        else:
            peer.resets += route == "/reset_prefix_cache"
            self._say({})

    def _generate(self, body: Any, fault: str) -> None:
        if fault == "500":
            return self._say({"error": {"message": "EngineCore encountered an issue"}}, 500)
        if fault == "400":
            return self._say({"error": {"message": "temperature is bad"}}, 400)
        if fault == "hang up":
            return self.connection.close()
        if fault == "stall":
            time.sleep(30)
        if fault == "not json":
            return self._say("<html>gateway</html>")
        if fault == "restarted":
            self.peer.version = "default"
        ids = [i + 1 for i in body["token_ids"]][: body["sampling_params"]["max_tokens"] - 1]
        ids = [*ids, STOP]
        content = [{"token_id": i, "logprob": -0.5} for i in ids]
        span = {"version": self.peer.version, "start": 0, "end": len(ids)}
        choice: dict[str, Any] = {
            "token_ids": ids,
            "logprobs": {"content": content},
            "finish_reason": "stop",
            "weight_versions": [span],
        }
        choices, prompt = [choice], body["token_ids"]
        if fault == "fewer completions":
            choices = []
        elif fault == "other prompt":
            prompt = [1, 1, 1]
        elif fault == "other tokens":
            choice["token_ids"] = [i + 1 for i in ids]
        elif fault == "too many tokens":
            choice["token_ids"] = ids * 20
        elif fault == "no logprobs":
            choice["logprobs"] = None
        elif fault == "nan":
            content[0]["logprob"] = float("nan")
        elif fault == "wrong end":
            choice["finish_reason"] = "length"
        self._say({"choices": choices, "prompt_token_ids": prompt})

    def _say(self, body: object, status: int = 200) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        try:
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())
        except OSError:
            return
