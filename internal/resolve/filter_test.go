package resolve

import (
	"net/netip"
	"testing"
)

// [D09]: what a stranger's DNS may make us call, without allow_private and with it.
func TestFilter(t *testing.T) {
	t.Parallel()
	own := ownAddresses{netip.MustParseAddrPort("1.2.3.4:5269"), netip.MustParseAddrPort("[::]:5270")}
	for _, c := range []struct {
		at           string
		open, closed string // the reason to refuse, "" if it may be called
	}{
		{"9.9.9.9:5269", "", ""},
		{"[2a00:1450::5]:5269", "", ""},
		{"0.0.0.0:5269", "unspecified address", "unspecified address"},
		{"0.1.2.3:5269", "unspecified address", "unspecified address"},
		{"10.1.2.3:5269", "private address", ""},
		{"100.64.0.1:5269", "carrier-grade NAT address", ""},
		{"100.63.255.255:5269", "", ""},
		{"100.128.0.0:5269", "", ""},
		{"127.0.0.1:5269", "loopback address", ""},
		{"127.255.255.254:22", "loopback address", ""},
		{"169.254.169.254:80", "link-local address", "link-local address"},
		{"100.100.100.200:80", "cloud's own address", "cloud's own address"},
		{"168.63.129.16:80", "cloud's own address", "cloud's own address"},
		{"168.63.129.17:80", "", ""},
		{"[fd00:ec2::254]:80", "cloud's own address", "cloud's own address"},
		{"[64:ff9b::168.63.129.16]:80", "NAT64 form of a cloud's own address", "NAT64 form of a cloud's own address"},
		{"172.15.255.255:5269", "", ""},
		{"172.16.0.0:5269", "private address", ""},
		{"172.31.255.255:5269", "private address", ""},
		{"172.32.0.0:5269", "", ""},
		{"192.0.2.7:5269", "documentation address", ""},
		{"192.168.1.1:5269", "private address", ""},
		{"198.19.0.1:5269", "benchmarking address", ""},
		{"224.0.0.1:5269", "multicast address", "multicast address"},
		{"255.255.255.255:5269", "reserved address", "reserved address"},
		{"[::]:5269", "unspecified address", "unspecified address"},
		{"[::1]:5269", "loopback address", ""},
		{"[fe80::1]:5269", "link-local address", "link-local address"},
		{"[fe80::1%eth0]:5269", "link-local address", "link-local address"},
		{"[fd00::1]:5269", "private address", ""},
		{"[ff02::1]:5269", "multicast address", "multicast address"},
		{"[2001:db8::1]:5269", "documentation address", ""},
		{"[2001:0:1::1]:5269", "protocol assignment", "protocol assignment"},
		{"[100::1]:5269", "reserved address", "reserved address"},
		{"[::1.2.3.4]:5269", "reserved address", "reserved address"},
		{"[::ffff:9.9.9.9]:5269", "", ""},
		{"[::ffff:127.0.0.1]:5269", "loopback address", ""},
		{"[::ffff:169.254.169.254]:5269", "link-local address", "link-local address"},
		{"[64:ff9b::9.9.9.9]:5269", "", ""},
		{"[64:ff9b::10.0.0.1]:5269", "NAT64 form of a private address", ""},
		{"[64:ff9b::169.254.169.254]:80", "NAT64 form of a link-local address", "NAT64 form of a link-local address"},
		{"[64:ff9b:1::1]:5269", "reserved address", "reserved address"},
		{"[2002:7f00:1::1]:5269", "6to4 form of a loopback address", ""},
		{"[2002:909:909::1]:5269", "", ""},
		{"1.2.3.4:5269", "this gate itself", "this gate itself"},
		{"[::ffff:1.2.3.4]:5269", "this gate itself", "this gate itself"},
		{"1.2.3.4:5222", "", ""},
		{"127.0.0.5:5270", "this gate itself", "this gate itself"},
		{"9.9.9.9:5270", "", ""},
	} {
		at := netip.MustParseAddrPort(c.at)
		for allow, want := range map[bool]string{false: c.open, true: c.closed} {
			got := ""
			if no := (&filter{allowPrivate: allow, own: own}).refuses("x", at); no != nil {
				got = no.Reason
			}
			if got != want {
				t.Errorf("[D09] %v, allow_private %t: refused as %q, want %q", at, allow, got, want)
			}
		}
	}
	f := &filter{allowPrivate: true}
	backends := ownAddresses{netip.MustParseAddrPort("10.0.0.5:5269")}
	f.backends.Store(&backends)
	for at, want := range map[string]bool{"10.0.0.5:5269": true, "[::ffff:10.0.0.5]:5269": true, "10.0.0.5:5270": false, "10.0.0.6:5269": false} {
		if no := f.refuses("x", netip.MustParseAddrPort(at)); (no != nil) != want || no != nil && (!no.Own || no.Reason != "a backend of this gate") {
			t.Errorf("[D09] a backend at 10.0.0.5:5269, and %s: %+v", at, no)
		}
	}
	if no := (&filter{allowPrivate: true}).refuses("x", netip.AddrPort{}); no == nil {
		t.Error("[D09] no address at all may be called")
	}
}
