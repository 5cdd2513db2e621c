"""A client in Python, with its standard library and nothing else. Reads whom to play from the first
line of stdin, and writes what each is shown to stdout."""

import http.client
import json
import random
import sys
import threading
import time
import urllib.request

OUT = threading.Lock()


def report(what):
    line = json.dumps(what)
    with OUT:
        print(line, flush=True)


class Client(threading.Thread):
    def __init__(self, device):
        super().__init__(daemon=True)
        self.device = device
        self.silence = device["silence_ms"] / 1000
        self.cursor = None
        self.retry = None

    def run(self):
        self.list()
        while True:
            try:
                self.follow()
            except (OSError, http.client.HTTPException):
                pass  # However it ended, the client comes back.
            time.sleep(random.uniform(1, 5) if self.retry is None else self.retry)

    def list(self):
        """Until it succeeds. The list's cursor counts where there is none yet."""
        while True:
            try:
                with self.get(self.device["api"] + "/v1/threads", {}) as answer:
                    page = json.load(answer)
                break
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(random.uniform(1, 5))
        what = {"stream": self.device["stream"], "listed": page["items"]}
        if self.cursor is None:
            self.cursor = what["cursor"] = page["cursor"]
        report(what)

    def get(self, url, headers):
        headers = {"Authorization": f"Bearer {self.device['token']}", **headers}
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=self.silence)

    def follow(self):
        """One connection, to its end or until it says nothing for too long."""
        with self.get(self.device["edge"] + "/v1/events", {"Last-Event-ID": self.cursor}) as answer:
            event, data, last = "message", [], self.cursor
            # A line that a cut leaves unfinished does not count.
            while (line := answer.readline()).endswith(b"\n"):
                line = line.decode().rstrip("\r\n")
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "event":
                    event = value
                elif field == "data":
                    data.append(value)
                elif field == "id":
                    last = value
                elif field == "retry":
                    self.retry = int(value) / 1000
                elif line == "":
                    self.cursor = last
                    if data:
                        self.show(event, "\n".join(data))
                    event, data = "message", []

    def show(self, event, data):
        data = json.loads(data)
        report({"stream": self.device["stream"], "event": event, "id": self.cursor, "data": data})
        if event == "reset":
            self.list()


for device in json.loads(sys.stdin.readline()):
    Client(device).start()
threading.Event().wait()
