"""What `sam delete` needs to be told of an emulator.

It takes the address of a nested template apart, and knows only addresses that begin with https://s3, as AWS's
do; `sam deploy` made them of the endpoint. The relay stands before CloudFormation and says AWS's address.
"""

import http.server
import threading
import urllib.error
import urllib.request

AWS = "https://s3.us-east-1.amazonaws.com"


class Relay:
    def __init__(self, endpoint):
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    answer = urllib.request.urlopen(urllib.request.Request(endpoint + self.path, body, dict(self.headers)))
                except urllib.error.HTTPError as error:
                    answer = error
                said = answer.read().replace(endpoint.encode(), AWS.encode())
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
