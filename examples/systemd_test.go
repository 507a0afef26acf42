package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/config"
)

// TestUnit: the unit gives the gate the folders that its defaults name, and takes everything else away.
func TestUnit(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("systemd/sallyport.service")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("/etc/sallyport/sallyport.yaml", []byte("backends: [{address: 127.0.1.1:5269, domains: [corp.example]}]\ninside: {listen: 127.0.2.1:5269}\noutside: {listen: [127.0.3.1:5269]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, folder := range map[string]string{c.Audit.Dir: "/var/lib/sallyport/", c.Dialback.SecretFile: "/var/lib/sallyport/", c.Certs.Store: "/var/lib/sallyport/", c.Admin.Socket: "/run/sallyport/"} {
		if !strings.HasPrefix(path, folder) {
			t.Errorf("the default %s is not below %s, which the unit makes", path, folder)
		}
	}
	for _, line := range []string{"Type=notify", "StateDirectory=sallyport", "RuntimeDirectory=sallyport", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "TimeoutStopSec=35"} {
		if !strings.Contains(string(text), "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	checkUnit(t, string(text))
}

// checkUnit asks systemd itself, where it is installed; it need not run.
func checkUnit(t *testing.T, text string) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Log("no systemd-analyze here: the unit is not looked at by systemd itself")
		return
	}
	unit := filepath.Join(t.TempDir(), "sallyport.service")
	if err := os.WriteFile(unit, []byte(strings.Replace(text, "/usr/bin/sallyport", "/bin/true", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", unit}, {"security", "--no-pager", "--offline=true", "--threshold=20", unit}} {
		if out, err := exec.Command("systemd-analyze", args...).CombinedOutput(); err != nil {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}
