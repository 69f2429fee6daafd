#!/bin/bash
# The main job on real input: three machines without a system are booted from the
# network and get Debian 12. `make demo` builds what this needs, and runs it.
#
#   KEEP=1   leave the lab up afterwards, and say how to go on with it
#   NODES=N  machines, 3 unless said
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
work=$root/var/demo
. scripts/lab-site.sh
nodes=${NODES:-3}
names="node-[1-$nodes].lab"

stop_earlier() {
	if [ -e "$work/kadeployd.pid" ]; then
		local pid
		pid=$(cat "$work/kadeployd.pid")
		# The number may be another program's by now.
		if [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" = "$bin/kadeployd" ]; then
			kill "$pid"
			for _ in $(seq 300); do [ -e "/proc/$pid" ] || break; sleep 0.1; done
		fi
		rm -f "$work/kadeployd.pid"
	fi
	if [ -e "$work/lab/lab.json" ]; then
		"${lab[@]}" down
	fi
}

if [ "${1:-}" = stop ]; then
	stop_earlier
	exit
fi

stop_earlier
trap take_down EXIT

say "The lab: $nodes machines with blank disks, powered off"
start_lab "$nodes"

say "The coordinator, on the machines' network"
start_coordinator
"$bin/kadeploy3" --version

say "The environment is registered"
"$bin/kaenv3" -a "$root/var/environment/debian12-min.dsc"
"$bin/kaenv3" -l

say "Deployment: kadeploy3 -e debian12-min -m $names -k"
sent() { "${lab[@]}" exec -- awk '$1 == "lab0:" { print $10 }' /proc/net/dev; }
before=$(sent)
begin=$SECONDS
"$bin/kadeploy3" -e debian12-min -m "$names" -k "$work/keys/user.pub" --timeline -o "$work/ok" -n "$work/ko"
echo
size() { stat -Lc %s "$@" | awk '{ sum += $1 } END { print sum }'; }
echo "$((SECONDS - begin)) s in all"
awk -v sent=$(($(sent) - before)) -v nodes="$nodes" -v minios="$(size var/minios/vmlinuz var/minios/initrd.img)" -v image="$(size var/environment/debian12-min.tar.zst)" '
	BEGIN { m = 1048576; printf "the coordinator sent %.0f MiB: %.0f MiB are the mini-OS, for each of %d nodes; the rest is %.2f times the image of %.0f MiB\n",
		sent/m, nodes*minios/m, nodes, (sent - nodes*minios)/image, image/m }'
if [ -s "$work/ko" ] || [ "$(wc -l <"$work/ok")" != "$nodes" ]; then
	echo "demo: not every node was deployed; the coordinator's log is $work/kadeployd.log" >&2
	exit 1
fi

say "A login on each node"
while read -r node; do
	"${lab[@]}" ssh -i "$work/keys/user" "$node" 'echo "$(hostname): Linux $(uname -r), / is $(findmnt -no SOURCE,PARTLABEL /)"' </dev/null
done <"$work/ok"

if [ -z "${KEEP:-}" ]; then
	say "The lab is taken down (KEEP=1 leaves it up)"
	exit
fi
trap - EXIT
echo "$daemon" >"$work/kadeployd.pid"
cat <<TXT

== The lab stays up. To go on with it:

  export KADEPLOY_SOCKET=$KADEPLOY_SOCKET KADEPLOY3_CONFIG_DIR=$KADEPLOY3_CONFIG_DIR PATH=$bin:\$PATH
  kadeploy3 -e debian12-min -m node-1.lab -k $work/keys/user.pub     deploy again
  kareboot3 -r simple -l hard -m node-2.lab                          reboot from its own disk
  kapower3 --status -m $names
  lab --dir $work/lab console node-1                                 serial console; ctrl-] leaves
  lab --dir $work/lab ssh -i $work/keys/user node-1                a shell on a node
  lab --dir $work/lab power off node-3                               cut a node's power
  less $work/kadeployd.log                                           the coordinator's log

  scripts/demo.sh stop                                               takes it all down
TXT
