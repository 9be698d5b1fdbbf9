"""A local server that speaks E2B's protocol: its REST API, its machines' RPCs, its code interpreter.

    python -m tests.e2b.server PORT_FILE

What E2B's SDK asks, and how, is in the SDK itself: the process RPCs are served from the Connect
service that it ships. A machine is a folder and the processes started for it; its code interpreter
is a real Jupyter kernel. Tests steer the server by requests to ``/control``.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.parser
import email.policy
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.process import process_connect, process_pb
from jupyter_client.manager import AsyncKernelManager
from protobuf import Oneof

KEY = "e2b_0123456789abcdef0123456789abcdef01234567"
CHUNK = 32 << 10


@dataclass
class Machine:
    """One virtual machine, as far as a client can tell."""

    name: str
    home: Path
    ends: float
    token: str
    kernel: AsyncKernelManager | None = None
    processes: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)


class Cloud:
    """All machines, what the API was asked, and what tests want to go wrong.

    Attributes:
        refuse: so many requests for a machine are yet to be answered with `status`.
        refuse_starts: so many programs are yet to be refused with 429.
        most: machines that may run at once; more are answered with 429.
        frozen: whether machines have stopped answering.
    """

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.refuse = self.refuse_starts = 0
        self.status = 429
        self.most = 20
        self.frozen = False
        self.ended: dict[str, float] = {}

    async def make(self, body: dict[str, Any]) -> Machine:
        home = Path(tempfile.mkdtemp(prefix="e2b-machine-"))
        name = f"i{uuid.uuid4().hex[:20]}"
        machine = Machine(name, home, time.time() + body.get("timeout", 300), uuid.uuid4().hex)
        machine.kernel = AsyncKernelManager()
        await machine.kernel.start_kernel(cwd=str(home))
        self.machines[name] = machine
        return machine

    def find(self, name: str) -> Machine | None:
        machine = self.machines.get(name)
        return machine if machine and machine.ends > time.time() else None

    async def kill(self, name: str) -> bool:
        machine = self.machines.pop(name, None)
        if machine is None:
            return False
        self.ended[name] = time.time()
        for process in machine.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        if machine.kernel:
            await machine.kernel.shutdown_kernel(now=True)
        shutil.rmtree(machine.home, ignore_errors=True)
        return True

    async def reap(self) -> None:
        while True:
            for machine in list(self.machines.values()):
                if machine.ends <= time.time():
                    await self.kill(machine.name)
            await asyncio.sleep(0.1)


class Processes(process_connect.Process):
    """The process service of every machine; which one is a header."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def machine(self, ctx: Any) -> Machine:
        return self.cloud.machines[ctx.request_headers["e2b-sandbox-id"]]

    def process(self, request: Any, ctx: Any) -> asyncio.subprocess.Process:
        pid = request.process.selector.value
        found = self.machine(ctx).processes.get(pid)
        if found is None:
            raise ConnectError(Code.NOT_FOUND, f"process with pid {pid} not found")
        return found

    async def start(self, request: Any, ctx: Any) -> AsyncIterator[Any]:
        if self.cloud.refuse_starts:
            self.cloud.refuse_starts -= 1
            raise ConnectError(Code.RESOURCE_EXHAUSTED, "too many requests")
        machine, config = self.machine(ctx), request.process
        environment = {"PATH": os.environ["PATH"], "HOME": str(machine.home)} | dict(config.envs)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            config.cmd,
            *config.args,
            stdin=pipe if request.stdin else asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            cwd=machine.home,
            env=environment,
            start_new_session=True,
        )
        machine.processes[process.pid] = process
        yield _event(Oneof("start", process_pb.ProcessEvent.StartEvent(pid=process.pid)))
        events: asyncio.Queue[Any] = asyncio.Queue(maxsize=8)
        readers = [
            asyncio.ensure_future(_pump(name, stream, events))
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
        ]
        try:
            left = len(readers)
            while left:
                event = await events.get()
                left -= event is None
                if event is not None:
                    yield event
            code = await process.wait()
            if machine.name not in self.cloud.machines:
                raise ConnectError(Code.UNAVAILABLE, "the connection to the sandbox ended")
            yield _event(
                Oneof(
                    "end",
                    process_pb.ProcessEvent.EndEvent(
                        exit_code=max(code, -1), exited=code >= 0, status=f"exit status {code}"
                    ),
                )
            )
        finally:
            for reader in readers:
                reader.cancel()
            machine.processes.pop(process.pid, None)

    async def send_input(self, request: Any, ctx: Any) -> Any:
        process = self.process(request, ctx)
        try:
            process.stdin.write(request.input.input.value)
            await process.stdin.drain()
        except (ConnectionError, RuntimeError) as exc:
            raise ConnectError(Code.INTERNAL, f"error writing to stdin: {exc}") from exc
        return process_pb.SendInputResponse()

    async def close_stdin(self, request: Any, ctx: Any) -> Any:
        self.process(request, ctx).stdin.close()
        return process_pb.CloseStdinResponse()

    async def send_signal(self, request: Any, ctx: Any) -> Any:
        process = self.process(request, ctx)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(int(request.signal))
        return process_pb.SendSignalResponse()


def _event(event: Any) -> Any:
    return process_pb.StartResponse(event=process_pb.ProcessEvent(event=event))


async def _pump(name: str, stream: asyncio.StreamReader, events: asyncio.Queue[Any]) -> None:
    while chunk := await stream.read(CHUNK):
        output: Any = Oneof(name, chunk)
        await events.put(_event(Oneof("data", process_pb.ProcessEvent.DataEvent(output=output))))
    await events.put(None)


class Server:
    """The ASGI application: the API at one address, every machine at the same one."""

    def __init__(self) -> None:
        self.cloud = Cloud()
        self.processes = process_connect.ProcessASGIApplication(Processes(self.cloud))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
        path, method = scope["path"], scope["method"]
        self.cloud.asked.append(f"{method} {path}")
        if path == "/control":
            await self.control(await _body(receive), send)
        elif "e2b-sandbox-id" in headers:
            await self.machine(scope, receive, send, headers)
        elif headers.get("x-api-key") != KEY:
            await _answer(send, 401, {"code": 401, "message": "Invalid API key"})
        else:
            await self.api(method, path, await _body(receive), send)

    async def lifespan(self, receive: Any, send: Any) -> None:
        reaper = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                reaper = asyncio.ensure_future(self.cloud.reap())
                await send({"type": "lifespan.startup.complete"})
            else:
                if reaper:
                    reaper.cancel()
                for name in list(self.cloud.machines):
                    await self.cloud.kill(name)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def control(self, body: bytes, send: Any) -> None:
        """Let a test change the cloud, and see what it was asked."""
        cloud, wanted = self.cloud, json.loads(body)
        for name in wanted.pop("kill", []):
            await cloud.kill(name)
        for name, value in wanted.items():
            setattr(cloud, name, value)
        state = {
            "machines": {m.name: list(m.processes) for m in cloud.machines.values()},
            "ends": {m.name: m.ends - time.time() for m in cloud.machines.values()},
            "asked": cloud.asked,
            "bodies": cloud.bodies,
        }
        await _answer(send, 200, state)

    async def api(self, method: str, path: str, body: bytes, send: Any) -> None:
        cloud, parts = self.cloud, path.strip("/").split("/")
        if method == "POST" and path == "/v2/sandboxes":
            await self.create(json.loads(body), send)
        elif method == "GET" and path == "/v2/sandboxes":
            await _answer(send, 200, [])
        elif method == "DELETE" and parts[0] == "sandboxes":
            found = await cloud.kill(parts[1])
            await _answer(send, 204 if found else 404, {"code": 404, "message": "no sandbox"})
        elif method == "POST" and parts[0] == "sandboxes" and parts[2] == "timeout":
            machine = cloud.find(parts[1])
            if machine:
                machine.ends = time.time() + json.loads(body)["timeout"]
            await _answer(send, 204 if machine else 404, {"code": 404, "message": "no sandbox"})
        else:
            await _answer(send, 404, {"code": 404, "message": f"no such route: {path}"})

    async def create(self, body: dict[str, Any], send: Any) -> None:
        cloud = self.cloud
        cloud.bodies.append(body)
        full = len(cloud.machines) >= cloud.most
        if cloud.refuse or full:
            cloud.refuse -= not full
            status = 429 if full else cloud.status
            message = "you have reached the limit of your plan" if full else "too many requests"
            await _answer(send, status, {"code": status, "message": message})
            return
        machine = await cloud.make(body)
        told = {
            "sandboxID": machine.name,
            "templateID": body["templateID"],
            "clientID": "local",
            "envdVersion": "0.6.7",
            "envdAccessToken": machine.token,
        }
        await _answer(send, 201, told)

    async def machine(self, scope: Any, receive: Any, send: Any, headers: dict[str, str]) -> None:
        """Answer for a machine, as its proxy and its services do."""
        while self.cloud.frozen:
            await asyncio.sleep(0.05)
        machine, path = self.cloud.find(headers["e2b-sandbox-id"]), scope["path"]
        if machine is None:
            message = "The sandbox was not found"
            await _answer(send, 502, {"code": 502, "message": message, "sandboxId": "gone"})
        elif headers.get("x-access-token") != machine.token:
            await _answer(send, 401, {"code": 401, "message": "no token"})
        elif path == "/health":
            await _answer(send, 204, None)
        elif path == "/files":
            query = parse_qs(scope["query_string"].decode())
            await self.upload(machine, headers, query, await _body(receive), send)
        elif path == "/execute":
            await self.execute(machine, json.loads(await _body(receive)), send)
        else:
            await self.processes(scope, receive, send)

    async def upload(
        self,
        machine: Machine,
        headers: dict[str, str],
        query: dict[str, list[str]],
        body: bytes,
        send: Any,
    ) -> None:
        head = f"content-type: {headers['content-type']}\r\n\r\n".encode()
        form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        written = []
        for part in form.iter_parts():
            name = query["path"][0] if "path" in query else _file_name(part)
            target = machine.home / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(part.get_payload(decode=True))
            written.append({"name": target.name, "path": str(target), "type": "file"})
        await _answer(send, 200, written)

    async def execute(self, machine: Machine, body: dict[str, Any], send: Any) -> None:
        """Run a cell in the kernel, and stream what it says as lines of JSON."""
        assert machine.kernel is not None
        client = machine.kernel.client()
        client.start_channels()
        await send({"type": "http.response.start", "status": 200, "headers": []})

        async def say(line: dict[str, Any]) -> None:
            data = json.dumps(line).encode() + b"\n"
            await send({"type": "http.response.body", "body": data, "more_body": True})

        try:
            await client.wait_for_ready(timeout=60)
            asked = client.execute(body["code"])
            while True:
                message = await client.get_iopub_msg(timeout=300)
                if message["parent_header"].get("msg_id") != asked:
                    continue
                kind, content = message["msg_type"], message["content"]
                if kind == "stream":
                    await say({"type": content["name"], "text": content["text"], "timestamp": ""})
                elif kind == "execute_result":
                    text = content["data"].get("text/plain")
                    await say({"type": "result", "text": text, "is_main_result": True})
                elif kind == "error":
                    said = {"name": content["ename"], "value": content["evalue"]}
                    await say({"type": "error", "traceback": "", **said})
                elif kind == "status" and content["execution_state"] == "idle":
                    break
        finally:
            client.stop_channels()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _file_name(part: Any) -> str:
    """Return a part's file name with its folders, which `email` would cut off."""
    return part.get_param("filename", header="content-disposition")


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _answer(send: Any, status: int, body: Any) -> None:
    data = b"" if body is None or status == 204 else json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def main(port_file: Path) -> None:
    """Serve until the process is ended, and say at which port."""
    config = uvicorn.Config(
        Server(), host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        port = server.servers[0].sockets[0].getsockname()[1]
        partial = port_file.with_suffix(".part")
        partial.write_text(str(port))
        partial.rename(port_file)
    await serving


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
