package imagetest

import "testing"

// TortureTree makes a tree with one of everything that GNU tar can carry.
func TortureTree(t testing.TB, dir string) {
	t.Helper()
	Tool(t, torture, "bash", "-e", "-s", dir)
}

const torture = `
cd "$1"
umask 022
mkdir -p etc usr/bin usr/lib dev var/spool empty "sp ace" deep
printf 'root:x:0:0::/root:/bin/sh\nimageuser:x:4242:4343::/:/bin/sh\n' > etc/passwd
printf 'root:x:0:\nimagegroup:x:4343:\n' > etc/group
ln -s usr/lib lib
ln -s /usr/bin/../lib/abs absolute
ln -s nowhere dangling
ln -s "$(head -c 3000 /dev/zero | tr '\0' x)" longlink
echo suid > usr/bin/suid; chown 0:8 usr/bin/suid; chmod 4755 usr/bin/suid
echo sgid > usr/bin/sgid; chown 1000:2000 usr/bin/sgid; chmod 2711 usr/bin/sgid
echo writable > usr/bin/writable; chmod 0777 usr/bin/writable
echo none > usr/bin/none; chmod 0000 usr/bin/none
echo big ids > bigids; chown 3000000:4000000000 bigids
echo cap > usr/bin/ping; setcap cap_net_raw+ep usr/bin/ping
ln usr/bin/ping usr/lib/ping2; ln usr/bin/ping zping
chmod 1777 var/spool; chown 7:12 var/spool; chmod 2775 usr/lib; chown 0:50 usr/lib
mkdir usr/lib/inherits; echo x > usr/lib/inherits/file
mknod dev/null c 1 3; chmod 666 dev/null; mknod dev/big b 259 300000; chown 0:6 dev/big; mkfifo -m 620 dev/fifo
setfattr -n user.comment -v 'a value' usr/bin/writable
setfattr -n user.binary -v 0s$(printf 'a\0b=\n' | base64) usr/bin/writable
setfattr -n trusted.t -v tt dev/null
setfattr -n user.dir -v onadir empty
setfacl -m u:1234:rw,g:4321:r,m::rw etc/group
setfacl -d -m u:1234:rwx,g::rx var/spool
setfacl -m u:77:x empty
truncate -s 20M sparse; printf data | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none
truncate -s 3M holeatend; printf head | dd of=holeatend bs=1 conv=notrunc status=none
truncate -s 4M allhole
: > zero
head -c 3000000 /dev/urandom > bigfile; head -c 262144 /dev/urandom > exact; head -c 262145 /dev/urandom > exact1
for i in $(seq 300); do head -c $((i * 37)) /dev/urandom > "sp ace/f$i"; done
n=$(head -c 250 /dev/zero | tr '\0' n); d=deep; for i in 1 2 3 4; do d="$d/$n"; mkdir "$d"; done; echo far > "$d/file"
printf x > $'latin1-\xe9'; printf y > $'new\nline'; printf z > 'back\slash'
touch -d '1960-01-02 03:04:05.123456789' bigfile; touch -h -d '2001-01-01 00:00:00.5' dangling
touch -d '2040-05-06 07:08:09' zero
find . -depth -type d -exec touch -d '2011-11-11 11:11:11.11' {} +
`
