"""The public doors of a deployment: the HTTP API, and the stream behind the load balancer.

CloudFront is not among them: no emulator passes a stream through its VPC origin.
"""

import http.client
import json
from urllib.parse import urlsplit


class Doors:
    """An emulator serves all hosts at one address and tells them apart by their names."""

    def __init__(self, endpoint, api_id, balancer):
        at = urlsplit(endpoint)
        self.address = (at.hostname, at.port)
        self.api, self.balancer = f"{api_id}.execute-api.localhost", balancer

    def ask(self, method, path, token=None, body=None, headers=(), host=None):
        """Status, headers and body of an answer of the API."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        send = {"Host": host or self.api, **dict(headers)}
        if token:
            send["Authorization"] = f"Bearer {token}"
        if body is not None:
            send["Content-Type"] = "application/json"
        connection.request(method, path, json.dumps(body) if body is not None else None, send)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        try:
            return answer.status, answer.headers, json.loads(text or "null")
        except json.JSONDecodeError:
            return answer.status, answer.headers, text

    def do(self, method, path, token, body=None):
        """The body of an answer that has to be good."""
        status, _, answer = self.ask(method, path, token, body)
        assert status < 300, f"{method} {path}: {status} {answer}"
        return answer

    def behind(self, path):
        """Status of an edge's answer through the load balancer."""
        return self.ask("GET", path, host=self.balancer)[0]

    def stream(self, token, cursor=None):
        return Stream(self, token, cursor)


class Stream:
    """An open stream; iterating gives its frames: name, data, id."""

    def __init__(self, doors, token, cursor):
        self.connection = http.client.HTTPConnection(*doors.address, timeout=60)
        headers = {"Host": doors.balancer, "Authorization": f"Bearer {token}"}
        if cursor:
            headers["Last-Event-ID"] = cursor
        self.connection.request("GET", "/v1/events", None, headers)
        self.answer = self.connection.getresponse()
        kind = self.answer.headers["content-type"]
        assert (self.answer.status, kind) == (200, "text/event-stream"), (self.answer.status, kind)

    def __iter__(self):
        frame = {}
        while line := self.answer.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field in ("event", "data", "id"):
                frame[field] = value
            elif not field and frame:
                yield frame["event"], json.loads(frame["data"]), frame["id"]
                frame = {}

    def next(self, *names):
        """The next frame of one of these names."""
        return next(frame for frame in self if frame[0] in names)

    def close(self):
        # The answer ends the connection, so that it has the socket.
        self.answer.close()
