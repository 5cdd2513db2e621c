"""Asks the API for whatever its OpenAPI document allows, and for what it does not.

    run.py SCHEMATHESIS RUNNEL EXAMPLES [SEED]

It fails if an answer is a 5xx or is not in the document, if a request that fits the document is refused, if one that does not
is accepted, or if fewer than 1,000 requests were sent. hooks.py says which refusals no document can tell beforehand. A user asks,
so that the routes of back ends answer with 403 alone.
"""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
# They end the token of the requests, or are no request for an answer.
LEFT_OUT = ("deleteSession", "openStream", "poll")
LEAST = 1_000


def token_of_alice(runnel, folder):
    return subprocess.run([runnel, "token", "alice", "--data-dir", folder], check=True, text=True, capture_output=True).stdout.strip()


def post(url, bearer, body):
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
        return json.load(answer)


def serves(runnel, folder):
    """Starts a server, and answers with it and its address."""
    command = [runnel, "--dev", "--listen", "127.0.0.1:0", "--data-dir", folder, "--rate", "off"]
    server = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for line in server.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return server, found[0]
    sys.exit("runnel has not started")


def main(schemathesis, runnel, examples, seed=None):
    seed = seed or str(random.randrange(2**32))
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        server, url = serves(runnel, data)
        try:
            alice = token_of_alice(runnel, data)
            thread = post(f"{url}/v1/threads", alice, {"members": ["bob", "carol"], "title": "ours"})["id"]
            for _ in range(50):
                post(f"{url}/v1/threads/{thread}/messages", alice, {"text": "hi"})
            config = Path(folder, "schemathesis.toml")
            config.write_text(f'[parameters]\nthread = "{thread}"\n')
            left_out = [part for operation in LEFT_OUT for part in ("--exclude-operation-id", operation)]
            run = subprocess.run(
                [Path(schemathesis).resolve(), "--config-file", config, "run", f"{url}/v1/openapi.json", "--header", f"Authorization: Bearer {alice}",
                 *left_out, "--phases", "examples,coverage,fuzzing", "--max-examples", examples, "--seed", seed, "--workers", "1",
                 "--continue-on-failure", "--no-color"],
                env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(HERE)},
                cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        finally:
            server.terminate()
            server.wait()
    print(run.stdout)
    sent = re.search(r"(\d+) generated", run.stdout)
    if run.returncode or not sent or int(sent[1]) < LEAST:
        print(f"to see it again: python3 tests/schema/run.py {schemathesis} {runnel} {examples} {seed}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
