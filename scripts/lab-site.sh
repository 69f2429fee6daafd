# Sourced by scripts that deploy on a lab of their own: a lab with a coordinator, made
# from what `make minios environment` built, in $work. Needs $root; sets $bin and $lab.
bin=$root/bin
lab=("$bin/lab" --dir "$work/lab")
export KADEPLOY_SOCKET=$work/state/kadeployd.sock
export KADEPLOY3_CONFIG_DIR=$work/site
daemon= # process of the coordinator

say() { printf '\n== %s\n' "$*"; }

# start_lab NODES [OPTIONS of lab up]: machines with blank disks, powered off.
start_lab() {
	rm -rf "$work/state"
	mkdir -p "$work/keys"
	"${lab[@]}" up --nodes "$@"
	local key
	for key in deploy user; do
		[ -e "$work/keys/$key" ] || ssh-keygen -q -t ed25519 -N '' -C "$key@lab" -f "$work/keys/$key"
	done
	"${lab[@]}" site --out "$work/site" --state "$work/state" --minios "$root/var/minios" --key "$work/keys/deploy.pub"
}

# start_coordinator starts it on the machines' network, and returns when it answers.
start_coordinator() {
	# exec: the process that is waited for, and stopped, is the coordinator itself.
	"${lab[@]}" exec -- "$bin/kadeployd" --config "$work/site" >"$work/kadeployd.log" 2>&1 &
	daemon=$!
	local _
	for _ in $(seq 200); do
		[ -S "$KADEPLOY_SOCKET" ] && return
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	echo "${0##*/}: the coordinator did not start:" >&2
	tail "$work/kadeployd.log" >&2
	exit 1
}

take_down() {
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null || true
		wait "$daemon" 2>/dev/null || true
	fi
	if [ -e "$work/lab/lab.json" ]; then
		"${lab[@]}" down
	fi
}
