#!/usr/bin/env bash
# The RFC's storyboard on four real, encrypted nodes of this machine: tribes joined by hand (section 1),
# then by policies over facts (section 2). Builds snapd and snapctl first, unless they are given:
#   SNAPD=/path/to/snapd SNAPCTL=/path/to/snapctl examples/storyboard.sh
# With --keep the four nodes run on until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -z ${SNAPD:-} || -z ${SNAPCTL:-} ]]; then
    echo 'building snapd and snapctl, which takes some minutes the first time ...' >&2
    cargo build --quiet --package snapd --package snapctl
    target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    SNAPD=${SNAPD:-$target/debug/snapd}
    SNAPCTL=${SNAPCTL:-$target/debug/snapctl}
fi

log=$(mktemp)
"$SNAPD" dev --nodes 4 --fact i2:storage_tier=True >"$log" &
dev=$!
trap 'kill -INT $dev 2>/dev/null || true; wait $dev 2>/dev/null || true; rm -f "$log"' EXIT
until grep -q '^ready' "$log"; do
    kill -0 $dev 2>/dev/null || { cat "$log"; exit 1; }
    sleep 0.1
done

# on NODE COMMAND...: types a command on a node, and shows it as the RFC does.
on() {
    local node=$1
    shift
    local shown="" word
    for word in "$@"; do
        [[ $word == *' '* ]] && word="\"$word\""
        shown+=" $word"
    done
    printf '\n%s> snapctl%s\n' "$node" "$shown"
    SNAP_SOCKET=$(sed -n "s/^export SNAP_SOCKET=\([^ ]*\)  # $node\$/\1/p" "$log") "$SNAPCTL" --wait "$@" 2>&1
}

dist=$(SNAP_SOCKET=$(sed -n 's/^export SNAP_SOCKET=\([^ ]*\)  # i1$/\1/p' "$log") \
    "$SNAPCTL" -o json fact list i1 | grep -A1 '"name": "os_dist"' | sed -n 's/.*"value": "\(.*\)".*/\1/p')

echo "=== Section 1: subtribes. Any node may be named, not just the one the command runs on."
on i1 tribe create core
for node in i1 i2 i3 i4; do on i1 tribe join core "$node"; done
on i1 tribe create storage
on i1 tribe join storage i1
on i4 tribe list
on i4 tribe show storage

echo
echo "=== Section 2: policies. The nodes are given back to the policies and sort themselves."
for node in i1 i2 i3 i4; do on i1 tribe auto core "$node"; done
on i1 tribe auto storage i1
on i1 tribe policy create os_policy "{{os_dist}} == $dist" --tribe core
on i1 tribe policy create storage_policy "{{os_dist}} == $dist && {{storage_tier}} == True" --tribe storage
on i4 tribe show core
on i4 tribe show storage
on i3 tribe policy explain storage_policy i3

echo
echo "A fact set while the node runs moves it, from any node:"
on i1 fact set i3 storage_tier=True
on i4 tribe show storage
on i4 member list

if [[ ${1:-} == --keep ]]; then
    echo
    cat "$log"
    echo "The nodes run on; Ctrl-C stops them."
    wait $dev
fi
