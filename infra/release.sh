#!/usr/bin/env bash
# Makes a release: the archive for this machine, and the checks that precede it.
#
#   infra/release.sh              builds and packs; prints the archive's path and sha256
#   infra/release.sh sbom         lists what each program is made of (CycloneDX), beside the archives
#   infra/release.sh check TAG    refuses a tag that differs from the version, or a version without notes
#   infra/release.sh notes        prints the version's section of CHANGELOG.md
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "infra/release.sh: $*" >&2
    exit 1
}

# The version of the workspace. Read without cargo, because the release notes need no toolchain.
version=$(sed -n '/^\[workspace\.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || die "Cargo.toml has no version in [workspace.package]"

# Prints what follows the heading `## VERSION`, or `## VERSION - DATE`, up to the next heading.
notes() {
    local found
    found=$(awk -v version="$version" '
        /^## / { within = ($2 == version || $2 == "[" version "]"); next }
        within
    ' CHANGELOG.md)
    [[ $found == *[![:space:]]* ]] || die "CHANGELOG.md has no section \`## $version\` with text"
    # A leading empty line is the gap under the heading.
    sed '/./,$!d' <<<"$found"
}

check() {
    [ -n "${1-}" ] || die "give the tag, such as v$version"
    [ "$1" = "v$version" ] || die "tag \`$1\` differs from version $version of Cargo.toml: expected \`v$version\`"
    notes >/dev/null
}

build() {
    local target name out=target/release-archives
    target=$(rustc -vV | sed -n 's/^host: //p')
    name=runnel-$version-$target

    # The folder is named, so that a CARGO_TARGET_DIR cannot make us pack an older program.
    cargo build --locked --profile dist -p runnel -p sse-edge --target-dir target

    # By itself: within an argument, a failure would be passed over.
    local time
    time=$(git log -1 --format=%ct)

    # Not `local`: the trap runs when this function has returned.
    staging=$(mktemp -d)
    trap 'rm -rf "$staging"' EXIT
    mkdir -p "$staging/$name" "$out"
    cp target/dist/runnel target/dist/sse-edge README.md LICENSE-MIT LICENSE-APACHE CHANGELOG.md "$staging/$name"
    chmod 755 "$staging/$name" "$staging/$name/runnel" "$staging/$name/sse-edge"
    chmod 644 "$staging/$name"/{README.md,LICENSE-MIT,LICENSE-APACHE,CHANGELOG.md}

    # Equal files give an equal archive: it records no user, no clock, no umask and no order of a folder.
    LC_ALL=C tar --create --format=ustar --sort=name --owner=0 --group=0 --numeric-owner \
        --mtime="@$time" --directory="$staging" "$name" |
        gzip -n -9 >"$out/$name.tar.gz"

    echo "$out/$name.tar.gz"
    sha256sum "$out/$name.tar.gz" | cut -d ' ' -f 1
}

# Needs `cargo install --locked cargo-cyclonedx`, which writes a list for each program of the workspace.
sbom() {
    local target out=target/release-archives
    target=$(rustc -vV | sed -n 's/^host: //p')
    # With it the same commit gives the same lists.
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
    export SOURCE_DATE_EPOCH
    cargo cyclonedx --quiet --format json --spec-version 1.5 --describe binaries
    mkdir -p "$out"
    for list in crates/runnel/runnel sse-edge/sse-edge api-lambda/api api-lambda/fanout; do
        mv "${list}_bin.cdx.json" "$out/${list##*/}-$version-$target.cdx.json"
    done
    # Those of programs that do not ship.
    rm bench/*_bin.cdx.json tests/*/*_bin.cdx.json
    ls "$out"/*.cdx.json
}

case ${1-build} in
    build) build ;;
    sbom) sbom ;;
    check) check "${2-}" ;;
    notes) notes ;;
    *) die "no command \`$1\`; there are: build sbom check notes" ;;
esac
