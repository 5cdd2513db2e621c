"""How small a built function is, and how soon it answers: what a cold start of Lambda waits for."""

import http.server
import json
import os
import queue
import signal
import subprocess
import threading
import time

MIB = 1 << 20
# Of a stripped `bootstrap`.
SIZE = 12.5 * MIB
# From the start of the process to its first answer.
ANSWER_SECONDS = 0.150
RESIDENT = 64 * MIB
# The least of as many starts counts: the machine has other things to do.
STARTS = 5
# What is in a program that has crates in it which stand for AWS on a developer's machine: where they
# panic, and what their database writes.
EMULATORS = (b"/dynoxide-rs-", b"/rustack-sqs-", b"SQLite format 3")
HEALTH = {
    "version": "2.0", "routeKey": "GET /v1/health", "rawPath": "/v1/health", "rawQueryString": "",
    "headers": {"host": "chat.example"}, "isBase64Encoded": False,
    "requestContext": {
        "accountId": "000000000000", "apiId": "abc", "domainName": "chat.example", "domainPrefix": "chat",
        "http": {"method": "GET", "path": "/v1/health", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "story"},
        "requestId": "one", "routeKey": "GET /v1/health", "stage": "$default",
        "time": "24/Nov/2026:10:00:00 +0000", "timeEpoch": 1795514400000,
    },
}


class Runtime:
    """Lambda's runtime API for one start of a function: one event, and its answer."""

    def __init__(self):
        self.events, self.answers = queue.Queue(), queue.Queue()
        self.events.put(HEALTH)
        runtime = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, headers=(), body=b""):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **dict(headers)}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                event = runtime.events.get()
                about = {"Lambda-Runtime-Aws-Request-Id": "one", "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 15000),
                         "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:000000000000:function:api"}
                self.reply(200, about, json.dumps(event).encode())

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
                    while size := int(self.rfile.readline(), 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                runtime.answers.put((time.monotonic(), self.path, body))
                self.reply(202)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # A function is killed while it asks for its next event.
        self.server.handle_error = lambda *_: None
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def start(program, environment):
    """Seconds to the first answer, and the most bytes that were resident until then."""
    runtime = Runtime()
    settings = {"AWS_LAMBDA_RUNTIME_API": runtime.address, "AWS_LAMBDA_FUNCTION_NAME": "api",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST"}
    begun = time.monotonic()
    process = subprocess.Popen([program], env={**environment, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        at, path, body = runtime.answers.get(timeout=30)
        assert path.endswith("/response") and json.loads(body)["statusCode"] == 200, (path, body)
        status = dict(line.split(":", 1) for line in open(f"/proc/{process.pid}/status"))
        return at - begun, int(status["VmHWM"].split()[0]) * 1024
    except queue.Empty:
        raise AssertionError("no answer: " + os.read(process.stderr.fileno(), 4096).decode()) from None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        runtime.server.shutdown()


def emulators_in(program):
    """What of an emulator is in a program."""
    content = program.read_bytes()
    return [word.decode() for word in EMULATORS if word in content]


def small(program):
    """MiB of a function, if that is within the bar."""
    size = program.stat().st_size
    assert size <= SIZE, f"{program} has {size / MIB:.1f} MiB, and may have {SIZE / MIB}"
    return size / MIB


def starts_soon(program, environment):
    """What it took, in words, if it is within the bars."""
    starts = [start(program, environment) for _ in range(STARTS)]
    seconds, resident = min(s for s, _ in starts), max(r for _, r in starts)
    told = f"{seconds * 1000:.0f} ms from its start to its first answer, {resident / MIB:.0f} MiB resident"
    assert seconds <= ANSWER_SECONDS and resident <= RESIDENT, told
    return told
