# What tests/run needs beside Rust and Node, installed where it is missing. Sourced by it.

tools=$PWD/tests/.tools/bin

# Installs Debian packages.
debian() {
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    "${root[@]}" apt-get update -q
    "${root[@]}" apt-get install -qy --no-install-recommends "$@"
}

# Has a program by its Debian package, or says that it cannot.
have() {
    command -v "$1" >/dev/null || debian "$2" || echo "SKIPPED: Debian's package \`$2\` cannot be had" >&2
}

# Fills $tools with the programs of requirements.txt.
install_tools() {
    if cmp -s tests/requirements.txt tests/.tools/installed.txt; then
        return
    fi
    # Debian's Python comes without what makes an environment.
    python3 -c 'import ensurepip' 2>/dev/null || debian python3-venv
    python3 -m venv --clear tests/.tools
    "$tools/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
    cp tests/requirements.txt tests/.tools/installed.txt
}

# Has the SAM CLI and cargo-lambda in $PATH.
install_sam() {
    local to=$PWD/tests/.tools-sam
    if ! cmp -s tests/deploy/sam.txt "$to/installed.txt"; then
        python3 -m venv --clear "$to"
        "$to/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/deploy/sam.txt
        cp tests/deploy/sam.txt "$to/installed.txt"
    fi
    export PATH=$to/bin:$PATH SAM_CLI_TELEMETRY=0
}

# Has schemathesis in tests/.tools-schema.
install_schemathesis() {
    local to=$PWD/tests/.tools-schema
    cmp -s tests/schema/requirements.txt "$to/installed.txt" && return
    python3 -c 'import ensurepip' 2>/dev/null || debian python3-venv
    python3 -m venv --clear "$to"
    "$to/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement tests/schema/requirements.txt
    cp tests/schema/requirements.txt "$to/installed.txt"
}

# Runs a command with $RUNNEL_TEST_ENDPOINT naming a fresh ministack: DynamoDB and SQS by others.
on_ministack() (
    install_tools
    mkdir -p tests/out
    local port pid
    port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
    GATEWAY_PORT=$port BIND_HOST=127.0.0.1 IOT_MTLS_ENABLED=0 \
        "$tools/ministack" >tests/out/ministack.log 2>&1 &
    pid=$!
    trap 'kill "$pid" && wait "$pid" || true' EXIT
    until (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        kill -0 "$pid" || { echo "ministack ended; see tests/out/ministack.log" >&2 && exit 1; }
        sleep 0.1
    done
    RUNNEL_TEST_ENDPOINT=http://127.0.0.1:$port "$@"
)
