#!/bin/bash
# How long a deployment of lab machines takes, beside the goals: machines that are off, from
# the command to sshd of the system that was deployed on all of them (the cold run); and the
# same machines at once again, while they run that system, which they leave by kexec (the
# trusted run). Nothing else should run on the machine. `make bench-lab` builds what is needed.
#
#   JSON=1   print one JSON object
#   NODES=N  machines, 3 unless said; the goals are for 3 on two cores
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
work=$root/var/bench-lab
. scripts/lab-site.sh
nodes=${NODES:-3}
names="node-[1-$nodes].lab"
goal_cold=80    # seconds
goal_ratio=0.75 # of the cold run

if [ -e "$work/lab/lab.json" ]; then
	"${lab[@]}" down # what an earlier run left
fi
trap 'take_down >&2' EXIT
start_lab "$nodes" --name bench >&2
start_coordinator
"$bin/kaenv3" -a "$root/var/environment/debian12-min.dsc" >&2
# The coordinator makes its form of the image when it gets to know it, once for all deployments.
for _ in $(seq 600); do
	grep -q 'image is prepared' "$work/kadeployd.log" && break
	sleep 0.1
done

# run NAME [OPTIONS]: a deployment; its seconds are in $took, where they went in $work/NAME.log.
run() {
	local name=$1 begin
	shift
	begin=$(date +%s%N)
	"$bin/kadeploy3" -e debian12-min -m "$names" -k "$work/keys/user.pub" --timeline -o "$work/ok" -n "$work/ko" \
		--write-workflow-id "$work/wid" "$@" >"$work/$name.log" 2>&1 || { cat "$work/$name.log" >&2; exit 1; }
	took=$((($(date +%s%N) - begin) / 1000000))
	if [ "$(wc -l <"$work/ok")" != "$nodes" ]; then
		cat "$work/$name.log" >&2
		echo "bench-lab: not every node was deployed in the $name run; the coordinator's log is $work/kadeployd.log" >&2
		exit 1
	fi
	local node
	while read -r node; do
		"${lab[@]}" ssh -i "$work/keys/user" "$node" true </dev/null
	done <"$work/ok"
}

run cold
cold=$took
steps="SetDeploymentEnv|SetDeploymentMiniOSTrusted:0:300&BroadcastEnv|BroadcastEnvKascade:0:300&BootNewEnv|BootNewEnvKexec:0:300"
run trusted --force-steps "$steps"
trusted=$took

# steps NAME: the longest stay of any node in each micro-step, out of the table of a run.
steps() {
	awk '/^Seconds per micro-step/ { on = 1; next }
		on && NF > 1 && $1 ~ /-/ && $2 ~ /^[0-9.]+$/ { most = 0; for (i = 2; i <= NF; i++) if ($i + 0 > most) most = $i + 0; print $1, most; next }
		on && /^$/ { exit }' "$work/$1.log"
}
verdict() { awk -v is="$1" -v goal="$2" 'BEGIN { print is <= goal ? "reached" : "missed" }'; }
cold=$(awk -v ms="$cold" 'BEGIN { printf "%.1f", ms / 1000 }')
trusted=$(awk -v ms="$trusted" 'BEGIN { printf "%.1f", ms / 1000 }')
ratio=$(awk -v a="$trusted" -v b="$cold" 'BEGIN { printf "%.2f", a / b }')

if [ -n "${JSON:-}" ]; then
	object() { steps "$1" | awk '{ printf "%s\"%s\":%s", s, $1, $2; s = "," }'; }
	printf '{"nodes":%d,"cold_seconds":%s,"trusted_seconds":%s,"ratio":%s,"goal_cold_seconds":%s,"goal_ratio":%s,"cold_steps":{%s},"trusted_steps":{%s}}\n' \
		"$nodes" "$cold" "$trusted" "$ratio" "$goal_cold" "$goal_ratio" "$(object cold)" "$(object trusted)"
	exit
fi
for name in cold trusted; do
	say "Seconds per micro-step, the slowest node, $name run"
	steps "$name" | awk '{ printf "%-56s %6.2f\n", $1, $2 }'
done
say "$nodes machines"
printf 'off -> sshd (cold)              %6.1f s   goal %s s: %s\n' "$cold" "$goal_cold" "$(verdict "$cold" "$goal_cold")"
printf 'running -> sshd (trusted start) %6.1f s   goal %s of the cold run, is %s: %s\n' "$trusted" "$goal_ratio" "$ratio" "$(verdict "$ratio" "$goal_ratio")"
