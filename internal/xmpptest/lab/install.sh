#!/bin/sh
# install.sh brings the real servers that the laboratory runs, from Debian's own packages. It may be run again at any
# time and does nothing when all is there. No service of theirs is started, now or at the next boot: the laboratory
# starts its own copies, each in a network of its own.
#
#   install.sh           install what is missing (root)
#   install.sh --check   only name what is missing; exit 1 if anything is
set -eu

packages='age prosody lua5.4 lua-expat lua-unbound ejabberd jabberd2 jabber-muc bind9 pebble bind9-utils unbound tcpdump iproute2 sqlite3 patch biboumi ngircd slapd postgresql-15 rsyslog rsyslog-gnutls nats-server zstd python3 openssl e2fsprogs'
# The schema of jabberd2's database is in its documentation, which small images leave out.
schema=/usr/share/doc/jabberd2/db-setup.sqlite.gz

missing() {
	# shellcheck disable=SC2086 # one word a package
	have=$(dpkg-query -W -f '${Package}:${db:Status-Status} ' $packages 2>/dev/null || :)
	for p in $packages; do
		case " $have" in *" $p:installed "*) ;; *) printf '%s ' "$p" ;; esac
	done
	[ -e "$schema" ] || case " $have" in *" jabberd2:installed "*) printf '%s ' "$schema" ;; esac
}

want=$(missing)
[ -n "$want" ] || exit 0
if [ "${1-}" = --check ]; then
	echo "missing: $want"
	exit 1
fi
[ "$(id -u)" = 0 ] || { echo "install.sh: needs root to install: $want" >&2; exit 1; }

# invoke-rc.d asks this program before it starts a service; 101 forbids it. An operator's own is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' INT TERM
fi

export DEBIAN_FRONTEND=noninteractive
get() {
	apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 \
		-o DPkg::Options::=--path-include='/usr/share/doc/jabberd2/*' "$@"
}
new=
for w in $want; do [ "$w" = "$schema" ] || new="$new $w"; done
# shellcheck disable=SC2086
[ -z "$new" ] || get $new || { apt-get update -q && get $new; }
[ -e "$schema" ] || get --reinstall jabberd2

# Debian enables what it installs. What was here before is the operator's and stays as it was.
if command -v systemctl >/dev/null; then
	for p in $new; do
		dpkg-query -L "$p" | sed -n 's|^.*/lib/systemd/system/\([^/]*\.service\)$|\1|p' |
			xargs -r systemctl disable >/dev/null 2>&1 || :
	done
fi

want=$(missing)
[ -z "$want" ] || { echo "install.sh: still missing: $want" >&2; exit 1; }
