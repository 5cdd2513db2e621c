# Which nightly parts a change needs before it lands. Sourced by tests/run.

# Time for them, in seconds.
budget=2100

# Runs the nightly parts that guard a file changed since BASE, in the order of their table, while they fit the budget.
# Without a commit BASE, as in a shallow clone, every file counts as changed.
for_change() {
    local base=$1 changed begun=$SECONDS part minutes guards left=()
    if [ -n "$base" ] && git cat-file -e "$base^{commit}" 2>/dev/null; then
        changed=$(git diff --name-only "$base")
        echo "== for-change: $(wc -l <<<"$changed") files since $base"
    else
        changed=$(git ls-files)
        echo "== for-change: no commit to compare with, so every file counts as changed"
    fi
    while read -r part minutes guards; do
        [ -n "$part" ] && grep --quiet --extended-regexp "$guards" <<<"$changed" || continue
        if ((SECONDS - begun + minutes * 60 > budget)); then
            left+=("$part")
        else
            run_part "$part" </dev/null
        fi
    done <<<"$nightly"
    if [ ${#left[@]} != 0 ]; then
        # GitHub shows a line of this form beside the change.
        [ -z "${GITHUB_ACTIONS-}" ] || echo -n "::warning::"
        echo "LEFT for lack of time; run by hand before the change counts as done: tests/run ${left[*]}"
    fi
}
