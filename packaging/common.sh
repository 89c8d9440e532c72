# What the build scripts share. Sourced by ./run and packaging/build-*; sets $top, $build, $cache.
# shellcheck shell=bash
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/build
cache=$build/cache
mkdir -p "$cache" "$build/log"

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# hash_of PATH… - one hash over names, permissions and contents of everything below the paths.
hash_of() {
    (
        cd "$top"
        find "$@" \( -name __pycache__ -prune \) -o \( -type f -o -type l \) -printf '%p %m %l\n' | LC_ALL=C sort
        find "$@" \( -name __pycache__ -prune \) -o -type f -print0 | LC_ALL=C sort -z | xargs -0 --no-run-if-empty sha256sum
    ) | sha256sum | cut -c1-16
}

# locked NAME - hold the lock NAME until this shell ends; several runs may build at once.
locked() {
    exec {lock_descriptor}>"$cache/$1.lock"
    if ! flock --nonblock "$lock_descriptor"; then
        echo "waiting for another run that does the same ($1)"
        flock "$lock_descriptor"
    fi
}

# keep_newest COUNT GLOB… - delete all but the newest entries of the cache that no running lab stands on.
keep_newest() {
    local count=$1 entry
    shift
    # shellcheck disable=SC2012 # names are our own hashes
    ls -1dt -- "$@" 2>/dev/null | tail -n "+$((count + 1))" | while read -r entry; do
        grep -qsF "$entry" /run/posthouse-lab/*/lab.json || rm -rf -- "$entry"
    done
}

version() {
    sed -n 's/^version = "\(.*\)"$/\1/p' "$top/pyproject.toml" | head -n 1
}

deb_path() {
    printf '%s/dist/posthouse_%s_amd64.deb' "$top" "$(version)"
}
