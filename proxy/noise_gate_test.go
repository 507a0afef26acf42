package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// [B20], [M13]: what strangers make the gate write is bounded by /64 and in all, at the running gate. Who has many addresses silences his
// neighbours at the most; everybody else is still told of, and what is not told is counted.
func TestNoiseOfStrangers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, outside, _ := newBubble(t, options{})
		settings := s.settings(options{})
		settings.Limits.FailuresPerAddress, settings.Limits.Failures = 3, 12
		s.proxy.Apply(settings)
		fails := func(format string, times int) (told int) {
			before := bytes.Count(s.recorded(), []byte(`"kind":"link.fail"`))
			for i := range times {
				conn := outside.dial(fmt.Sprintf(format, i+1))
				conn.SetDeadline(time.Now().Add(time.Second))
				io.WriteString(conn, strangerSays+"<bogus/>")
				io.Copy(io.Discard, conn)
				conn.Close()
				synctest.Wait()
			}
			return bytes.Count(s.recorded(), []byte(`"kind":"link.fail"`)) - before
		}
		for _, x := range []struct {
			what, from string
			times      int
			want       int
		}{
			{"one IPv6 network of 64 bits", "[2001:db8::%d]:1", 20, 3},
			{"all of the 48 bits around it", "[2001:db8:0:%d::1]:1", 20, 3},
			{"a stranger elsewhere", "[2001:db8:1::%d]:1", 5, 1},
			{"an IPv4 network", "192.0.2.%d:1", 5, 1},
			{"one address of another", "198.51.100.1:%d", 5, 1},
		} {
			if told := fails(x.from, x.times); told != x.want {
				t.Errorf("[B20] of %s %d of %d failures are told, want %d", x.what, told, x.times, x.want)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var flood string
		for line := range strings.Lines(string(s.recorded())) {
			if strings.Contains(line, `"kind":"auth.flood"`) {
				flood += line
			}
		}
		if !strings.Contains(flood, `"count":46`) || !strings.Contains(flood, ": 17 from 2001:db8::, ") || !strings.Contains(flood, `"address":"2001:db8::"`) {
			t.Errorf("[B20] told of the rest: %s", flood)
		}
		if told := fails("[2001:db8::%d]:1", 5); told != 3 {
			t.Errorf("[B20] in the next minute %d are told", told)
		}
	})
}
