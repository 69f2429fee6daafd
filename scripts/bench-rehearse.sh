#!/bin/sh
# Rehearses deployments on 100, 1,000 and 5,000 simulated nodes (NODES), and on 100 nodes
# with faults by each of the SEEDS (1-100), and prints what was reached beside the goals,
# which are for two cores. PARALLEL rehearsals with faults run at a time (8): they mostly
# wait. An empty NODES or SEEDS leaves that part out.
set -eu
kadeployd=${KADEPLOY_BIN:?}/kadeployd
seeds=${SEEDS-1-100}
parallel=${PARALLEL:-8}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0

number() { grep -o "\"$1\":[0-9.e+]*" "$2" | head -n 1 | cut -d : -f 2; } # of the outermost member

goal() {
	case $1 in
	1000) echo '   (goal 30 s, 300 MiB)' ;;
	5000) echo '   (goal 180 s, 1229 MiB)' ;;
	esac
}

for nodes in ${NODES-100 1000 5000}; do
	"$kadeployd" rehearse --nodes "$nodes" --json >"$dir/$nodes.json" 2>"$dir/$nodes.err" || bad=1
	if [ ! -s "$dir/$nodes.json" ]; then
		tail -3 "$dir/$nodes.err"
		continue
	fi
	journal=$(grep -o '"journal":{[^}]*}' "$dir/$nodes.json")
	events=$(echo "$journal" | grep -o '"events":[0-9]*' | cut -d : -f 2)
	waited=$(echo "$journal" | grep -o '"seconds":[0-9.e+-]*' | cut -d : -f 2)
	awk -v n="$nodes" -v s="$(number seconds "$dir/$nodes.json")" -v m="$(number memory_peak_bytes "$dir/$nodes.json")" \
		-v ok="$(number ok "$dir/$nodes.json")" -v e="$events" -v w="$waited" -v goal="$(goal "$nodes")" 'BEGIN {
		printf("%5d nodes: %6.1f s, coordinator %5.0f MiB, %d ok%s\n", n, s, m / 1048576, ok, goal)
		printf("             journal %.3f ms for each of %d transitions   (goal 0.2 ms)\n", w * 1000 / e, e) }'
done

if [ -n "$seeds" ]; then
	first=${seeds%-*} last=${seeds#*-}
	export kadeployd dir
	seq "$first" "$last" | xargs -P "$parallel" -I{} sh -c '
		"$kadeployd" rehearse --nodes 100 --image-size 4MiB --fail 5% --slow 2% --hang 2% --seed {} >"$dir/seed-{}" 2>&1 ||
		{ echo "seed {}:"; grep WRONG "$dir/seed-{}" || tail -3 "$dir/seed-{}"; } >"$dir/wrong-{}"'
	cat "$dir"/wrong-* 2>/dev/null || true
	wrong=$(ls "$dir" | grep -c ^wrong- || true)
	of=$((last - first + 1))
	echo "  100 nodes with faults, $of seeds: every list right in $((of - wrong))   (goal: all)"
	test "$wrong" -eq 0 || bad=1
fi
exit $bad
