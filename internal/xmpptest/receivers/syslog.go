package receivers

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Log is an rsyslog server that writes what comes into a file.
type Log struct {
	*Server
	File string // host, program, message id, structured data and message of each line
}

// Syslog makes a server that takes RFC 5424 over TLS.
func Syslog(t testing.TB) *Log {
	t.Helper()
	needs(t, "/usr/sbin/rsyslogd")
	s := prepare(t, nil)
	l := &Log{s, filepath.Join(s.Dir, "out")}
	port := FreePort(t)
	conf := s.write("rsyslog.conf", fmt.Sprintf(`global(maxMessageSize="64k" workDirectory="%[1]s" DefaultNetstreamDriverCAFile="%[1]s/ca.pem" DefaultNetstreamDriverCertFile="%[1]s/cert.pem" DefaultNetstreamDriverKeyFile="%[1]s/key.pem")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
input(type="imtcp" address="127.0.0.1" port="%[2]d")
template(name="all" type="string" string="%%hostname%% %%app-name%% %%msgid%% %%structured-data%% %%msg%%\n")
action(type="omfile" file="%[3]s" template="all" asyncWriting="off")
`, s.Dir, port, l.File))
	s.argv = []string{"/usr/sbin/rsyslogd", "-n", "-f", conf, "-i", s.Dir + "/pid"}
	s.URL = fmt.Sprintf("tls://127.0.0.1:%d", port)
	return l
}

var syslogID = regexp.MustCompile(`\[record@32473 id="([^"]*)"`)

// IDs are the ids of the messages that are in the file, and how often each is.
func (l *Log) IDs() map[string]int {
	text, _ := os.ReadFile(l.File) // made with the first message
	n := make(map[string]int)
	for _, m := range syslogID.FindAllSubmatch(text, -1) {
		n[string(m[1])]++
	}
	return n
}
