#!/bin/sh
# Rehearses deployments on 100, 1,000 and 5,000 simulated nodes, and on 100 nodes with
# faults by each of SEEDS seeds (100), and prints what was reached beside the goals, which
# are for two cores. PARALLEL rehearsals with faults run at a time (8): they mostly wait.
set -eu
kadeployd=${KADEPLOY_BIN:?}/kadeployd
seeds=${SEEDS:-100}
parallel=${PARALLEL:-8}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

number() { grep -o "\"$1\":[0-9.e+]*" "$2" | head -n 1 | cut -d : -f 2; } # of the outermost member

for case in 100:- 1000:30:300 5000:180:1229; do
	nodes=${case%%:*}
	goal=${case#*:}
	"$kadeployd" rehearse --nodes "$nodes" --json >"$dir/$nodes.json" 2>/dev/null || true
	awk -v n="$nodes" -v s="$(number seconds "$dir/$nodes.json")" -v m="$(number memory_peak_bytes "$dir/$nodes.json")" \
		-v ok="$(number ok "$dir/$nodes.json")" -v goal="$goal" 'BEGIN {
		line = sprintf("%5d nodes: %6.1f s, coordinator %5.0f MiB, %d ok", n, s, m / 1048576, ok)
		if (split(goal, g, ":") == 2) line = line sprintf("   (goal %d s, %d MiB)", g[1], g[2])
		print line }'
done

export kadeployd dir
seq "$seeds" | xargs -P "$parallel" -I{} sh -c '
	"$kadeployd" rehearse --nodes 100 --image-size 4MiB --fail 5% --slow 2% --hang 2% --seed {} >"$dir/seed-{}" 2>&1 ||
	{ echo "seed {}:"; grep WRONG "$dir/seed-{}" || tail -3 "$dir/seed-{}"; } >"$dir/wrong-{}"'
cat "$dir"/wrong-* 2>/dev/null || true
wrong=$(ls "$dir" | grep -c ^wrong- || true)
echo "  100 nodes with faults, $seeds seeds: every list right in $((seeds - wrong))   (goal: all)"
test "$wrong" -eq 0
