#!/usr/bin/env bash
# Makes a release: the archive for this machine, and the checks that precede it.
#
#   infra/release.sh              builds and packs; prints the archive's path and sha256
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

case ${1-build} in
    build) build ;;
    check) check "${2-}" ;;
    notes) notes ;;
    *) die "no command \`$1\`; there are: build check notes" ;;
esac
