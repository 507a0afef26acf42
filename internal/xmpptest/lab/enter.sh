# Runs in a mount namespace of the process's own, which the kernel removes with it:
#   enter RESOLV_CONF [FROM TO]... -- PROGRAM ARGUMENT...
# /run is empty, /etc/resolv.conf is RESOLV_CONF, each TO is FROM; then PROGRAM takes this shell's place and pid. So a
# server runs as Debian ships it, on its usual paths, as often at a time as one likes.
set -e
mount -t tmpfs tmpfs /run
mkdir /run/prosody /run/ejabberd /run/jabberd2 /run/named
resolv=$(readlink -m /etc/resolv.conf) # often a link into /run
mkdir -p "${resolv%/*}"
[ -e "$resolv" ] || : >"$resolv"
mount --bind "$1" "$resolv"
shift
while [ "$1" != -- ]; do
	mkdir -p "$2"
	mount --bind "$1" "$2"
	shift 2
done
shift
exec "$@"
