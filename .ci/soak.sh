#!/bin/sh
# Long runs of the correct kernels: every policy that promises no violation, several worker counts and seeds.
# `short` takes seconds of each, for CI; without it, a minute of each.
set -eu
cd "$(dirname "$0")/.."
time=60s; counts='1 2 4 8'
[ "${1:-}" = short ] && time=3s && counts='2 4'
for policy in classic pinned-notifiers pkvm-2022; do
  for workers in $counts; do
    seed=$(( $(date +%s) % 100000 ))
    printf 'soak: %s, %s workers, seed %s, %s: ' "$policy" "$workers" "$seed" "$time"
    node dist/src/cli/main.js stress --policy "$policy" --workers "$workers" --seed "$seed" --duration "$time" --json |
      node -e 'const r = JSON.parse(require("fs").readFileSync(0, "utf8")); console.log(r.ok ? "clean" : "NOT CLEAN " + JSON.stringify([r.end, r.violations])); process.exit(r.ok ? 0 : 1)'
  done
done
