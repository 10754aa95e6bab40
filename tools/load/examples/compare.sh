#!/usr/bin/env bash
# Galo beside the SQLite bank of this folder: the same machine, the same core for either, the same load, in turn.
#   tools/load/examples/compare.sh [ROUNDS [SECONDS]]
# Needs `cargo build --release --workspace`, Python 3 and two CPUs. Reports go to target/compare/.
set -euo pipefail
cd "$(dirname "$0")/../../.."

rounds=${1:-3}
seconds=${2:-10}
reports=target/compare
directory=$(mktemp -d)
server=
mkdir -p "$reports"

stop() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" 2>/dev/null || true
    server=
}
trap 'stop; rm -rf "$directory"' EXIT

# On fresh data, on a core of its own; says `listening on ADDRESS` when it is ready.
start() {
    stop
    rm -rf "$directory/data"
    mkdir "$directory/data"
    : >"$directory/log"
    case $1 in
    galo)
        taskset -c 0 target/release/galo --cores 1 --listen 127.0.0.1:0 --data "$directory/data" \
            >"$directory/log" 2>&1 &
        ;;
    sqlite)
        taskset -c 0 python3 tools/load/examples/sqlite_bank.py 0 "$directory/data/bank.db" \
            >"$directory/log" 2>&1 &
        ;;
    esac
    server=$!
    local tries=0
    until address=$(grep -om1 'listening on [0-9.:]*' "$directory/log"); do
        kill -0 "$server" && [ $((tries += 1)) -lt 200 ] || { cat "$directory/log" >&2; exit 1; }
        sleep 0.05
    done
    address=${address#listening on }
}

load() {
    local name=$1
    shift
    taskset -c 1 target/release/galo-load "$address" --duration "${seconds}s" --warmup 2s --seed "$round" --watch-pid "$server" \
        --verify --json "$reports/$name.json" "$@" >"$reports/$name.txt" 2>/dev/null
}

for round in $(seq "$rounds"); do
    for bank in sqlite galo; do
        start "$bank"
        load "$bank-340-$round" --connections 32 --rate 340
        start "$bank"
        load "$bank-closed-$round" --connections 14
    done
done

for kind in 340 closed; do
    for round in $(seq "$rounds"); do
        for bank in sqlite galo; do
            python3 - "$reports/$bank-$kind-$round.json" "$bank $kind $round" <<'PY'
import json, sys
run = json.load(open(sys.argv[1]))
latency, watched = run["latency"], run["watched"][0]
print(f"{sys.argv[2]:>18}: {run['rate']:9.1f}/s  p50 {latency['p50_us'] / 1e3:7.2f}  p99 {latency['p99_us'] / 1e3:7.2f}"
      f"  max {latency['max_us'] / 1e3:7.2f} ms  {watched['resident_bytes_max'] / 1e6:5.1f} MB"
      f"  {1e6 * watched['cpu'] / run['rate']:7.1f} µs of CPU a request")
PY
        done
    done
done
