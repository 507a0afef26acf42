package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
)

func checkCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "check", Short: "List every fault of configuration, policy and certificates at once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			notes, err := check(path)
			for _, note := range notes {
				fmt.Fprintln(cmd.OutOrStdout(), note)
			}
			if err != nil {
				return fault(err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path+": no fault found")
			return err
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// check looks at all that a start needs, without opening a socket or writing a file. A certificate out of its dates, which a start
// only warns of, is a fault here, and so is one that ends soon. The notes are what is right and worth knowing.
func check(path string) (notes []string, err error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	for _, over := range c.Over(time.Now()) {
		notes = append(notes, over.Error())
	}
	r, err := load(c)
	if r.certs != nil {
		err = errors.Join(err, outOfDate(c, r.certs.Covers), errors.Join(r.certs.Concerns()...))
		each(pending(c, r.certs.Covers), func(note string) { notes = append(notes, note) })
	}
	return notes, err
}
