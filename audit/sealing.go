package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"filippo.io/age"
)

// Sealing says to whom content is sealed at level sealed. A zero value means its default.
type Sealing struct {
	Recipients     []string      `yaml:"recipients" default:"[]" doc:"age recipients of the officers (age1…), as age-keygen prints them; the gate needs nothing secret of them"`
	RecipientsFile string        `yaml:"recipients_file" default:"" doc:"file with further recipients, one a line; # begins a comment"`
	Threshold      int           `yaml:"threshold" default:"1" doc:"how many of the officers it takes to open anything; 1: each can alone"`
	Period         time.Duration `yaml:"period" default:"24h" doc:"how long one sealing key of a retention class is used; keys are destroyed by period"`
	Stanzas        int           `yaml:"stanzas" default:"65536" doc:"stanzas after which a new sealing key is begun before the period is over"`
}

func (s Sealing) withDefaults() Sealing {
	if s.Threshold == 0 {
		s.Threshold = 1
	}
	if s.Period == 0 {
		s.Period = 24 * time.Hour
	}
	if s.Stanzas == 0 {
		s.Stanzas = 1 << 16
	}
	return s
}

// Named says whether anybody is named who can open.
func (s Sealing) Named() bool { return len(s.Recipients) > 0 || s.RecipientsFile != "" }

// Faults tells all that is wrong with it, by the keys below audit.sealing, but for what stands in a file.
func (s Sealing) Faults(tell func(key, fault string)) {
	s = s.withDefaults()
	for i, r := range s.Recipients {
		if _, err := age.ParseRecipients(strings.NewReader(r)); err != nil {
			tell(fmt.Sprintf("recipients[%d]", i), fmt.Sprintf("%q must be an age recipient (age1…), the public key of an officer", clip(public(r))))
		}
	}
	if s.Threshold < 1 || s.Threshold > 255 || s.Threshold > len(s.Recipients) && s.RecipientsFile == "" && s.Threshold > 1 {
		tell("threshold", "it must be from 1 to the number of recipients, and at most 255")
	}
	if s.Period < time.Hour || s.Period > 366*24*time.Hour || s.Period%time.Hour != 0 {
		tell("period", "it must be whole hours, from 1h to 8784h")
	}
	if s.Stanzas < 1 || s.Stanzas > maxSteps/2 {
		tell("stanzas", fmt.Sprintf("it must be from 1 to %d", maxSteps/2))
	}
}

// public keeps a secret key that was put in the wrong place out of errors and logs.
func public(recipient string) string {
	if strings.Contains(strings.ToUpper(recipient), "SECRET") {
		return "AGE-SECRET-KEY-…, which must be with its officer and nowhere else"
	}
	return recipient
}

// officers reads all recipients, and tries them out: what cannot be sealed to shows now.
func (s Sealing) officers() ([]age.Recipient, error) {
	if !s.Named() {
		return nil, nil
	}
	text := strings.NewReader(strings.Join(s.Recipients, "\n") + "\n")
	recipients, err := age.ParseRecipients(text)
	if len(s.Recipients) == 0 {
		recipients, err = nil, nil
	}
	if err != nil {
		return nil, errors.New("audit.sealing.recipients: not all of them are age recipients")
	}
	if s.RecipientsFile != "" {
		f, err := os.Open(s.RecipientsFile)
		if err != nil {
			return nil, fmt.Errorf("audit.sealing.recipients_file: %w", err)
		}
		defer f.Close()
		more, err := age.ParseRecipients(f)
		if err != nil {
			return nil, fmt.Errorf("audit.sealing.recipients_file %s: it must hold age recipients, one a line", s.RecipientsFile)
		}
		recipients = append(recipients, more...)
	}
	if s.Threshold > len(recipients) || s.Threshold > 1 && len(recipients) > 255 {
		return nil, fmt.Errorf("audit.sealing.threshold %d: there are %d recipients", s.Threshold, len(recipients))
	}
	if twice := doubled(recipients); twice != "" && s.Threshold > 1 {
		return nil, fmt.Errorf("audit.sealing: recipient %s is named twice; with a threshold one officer would have two shares", twice)
	}
	if _, err := age.Encrypt(io.Discard, recipients...); err != nil && s.Threshold <= 1 {
		return nil, fmt.Errorf("audit.sealing: %w", err)
	}
	return recipients, nil
}

// doubled is a recipient that is named more than once, if there is one.
func doubled(recipients []age.Recipient) string {
	seen := map[string]bool{}
	for _, r := range recipients {
		name := fmt.Sprint(r)
		if seen[name] {
			return name
		}
		seen[name] = true
	}
	return ""
}

// terms says in words who can open.
func (s Sealing) terms(officers int) string {
	if s.Threshold <= 1 {
		return fmt.Sprintf("any of %d recipients opens it", officers)
	}
	return fmt.Sprintf("%d of %d recipients together open it", s.Threshold, officers)
}
