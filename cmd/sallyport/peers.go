package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
	"sallyport/internal/jid"
	"sallyport/internal/ratchet"
)

func peersCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{Use: "peers", Short: "See and change what is remembered of remote domains"}
	cmd.PersistentFlags().StringVarP(&path, "config", "c", defaultConfig, "configuration `FILE`")
	return group(cmd, peersListCommand(&path), peersShowCommand(&path), peersForgiveCommand(&path), peersPinCommand(&path))
}

// peerBook is what is remembered: in the running gate, or in its file while it does not run.
type peerBook interface {
	List(ctx context.Context) ([]ratchet.Peer, error)
	Order(ctx context.Context, order string, o console.PeerOrder) error
	Close() error
}

// openPeers asks the gate when it runs: it alone may write the file then.
func openPeers(path string) (peerBook, error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	if c.Ratchet.Mode == "off" {
		return nil, errors.New("ratchet.mode is off: nothing is remembered of peers")
	}
	book, err := ratchet.Open(c.Ratchet, slog.New(slog.DiscardHandler))
	if errors.Is(err, ratchet.ErrInUse) {
		return liveBook(c.Admin.Socket), nil
	}
	return fileBook{book}, err
}

type liveBook string

func (b liveBook) List(ctx context.Context) (all []ratchet.Peer, err error) {
	return all, console.Ask(ctx, string(b), "/peers", &all)
}

func (b liveBook) Order(ctx context.Context, order string, o console.PeerOrder) error {
	return console.Order(ctx, string(b), "/peers/"+order, o)
}

func (b liveBook) Close() error { return nil }

type fileBook struct{ *ratchet.Book }

func (b fileBook) List(context.Context) ([]ratchet.Peer, error) { return b.Book.List(), nil }

func (b fileBook) Order(_ context.Context, order string, o console.PeerOrder) error {
	switch order {
	case "forgive":
		return b.Forgive(o.Domain)
	case "pin":
		return b.Pin(o.Domain, o.Pins)
	}
	return b.Unpin(o.Domain)
}

// onPeers runs do on the book, and makes what goes wrong a fault.
func onPeers(path *string, do func(peerBook) error) error {
	book, err := openPeers(*path)
	if err != nil {
		return fault(err)
	}
	return fault(errors.Join(do(book), book.Close()))
}

func peersListCommand(path *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the remote domains that were met, with the best that each has proved", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return onPeers(path, func(book peerBook) error {
				all, err := book.List(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), all)
				}
				return printPeers(cmd.OutOrStdout(), all)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printPeers(w io.Writer, all []ratchet.Peer) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no remote domain was met yet")
		return err
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "DOMAIN\tTO THEM\tFROM THEM\tKEYS\tPINS\tLINKS\tLAST SEEN")
	for _, p := range all {
		fmt.Fprintf(tab, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", p.Domain, face(p.Out), face(p.In), len(p.Keys), len(p.Pins), p.Links, second(p.Last))
	}
	return tab.Flush()
}

func face(f ratchet.Face) string {
	if f.Channel.Best == "" {
		return "-"
	}
	return f.Channel.Best + ", " + f.Proof.Best
}

func peersShowCommand(path *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show DOMAIN", Short: "Show all that is remembered of a remote domain", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return onPeers(path, func(book peerBook) error {
				domain, err := domainArgument(args[0])
				if err != nil {
					return err
				}
				all, err := book.List(cmd.Context())
				if err != nil {
					return err
				}
				for _, p := range all {
					if p.Domain != domain {
						continue
					}
					if asJSON {
						return printJSON(cmd.OutOrStdout(), p)
					}
					return printPeer(cmd.OutOrStdout(), p)
				}
				return fmt.Errorf("%s: %w", domain, ratchet.ErrUnknown)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printPeer(w io.Writer, p ratchet.Peer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "domain\t%s\nmet\t%s, last %s, %s\n", p.Domain, second(p.First), second(p.Last), counted(uint64(p.Links), "link"))
	face := func(name string, f ratchet.Face) {
		if f.Channel.Best != "" {
			fmt.Fprintf(tab, "%s\t%s since %s, %s since %s\n", name, f.Channel.Best, second(f.Channel.Since), f.Proof.Best, second(f.Proof.Since))
		}
	}
	face("to them", p.Out)
	face("from them", p.In)
	for _, k := range p.Keys {
		fmt.Fprintf(tab, "key\tsha256/%s, %s, first %s, last %s\n", k.SPKI, audit.Visible(k.Issuer), second(k.First), second(k.Last))
	}
	for _, pin := range p.Pins {
		fmt.Fprintf(tab, "pinned\t%s\n", pin)
	}
	return tab.Flush()
}

func peersForgiveCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use: "forgive DOMAIN", Short: "Forget what a remote domain proved, so that it is learnt anew; its pins stay", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return order(cmd, path, "forgive", args, nil) },
	}
}

func peersPinCommand(path *string) *cobra.Command {
	var anyKey bool
	cmd := &cobra.Command{
		Use:   "pin DOMAIN [sha256/KEY ...]",
		Short: "Let a remote domain show these public keys and no others; without keys, those seen so far",
		Long: "Let a remote domain show these public keys and no others; without keys, those seen so far.\n\n" +
			"For a change of keys that the peer has announced, name the next key beside the one in use.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !anyKey {
				return order(cmd, path, "pin", args, args[1:])
			}
			if len(args) > 1 {
				return errors.New("--any takes no keys")
			}
			return order(cmd, path, "unpin", args, nil)
		},
	}
	cmd.Flags().BoolVar(&anyKey, "any", false, "take the pins away: any key will do again")
	return cmd
}

// order changes what is remembered of the domain that the first argument names.
func order(cmd *cobra.Command, path *string, what string, args, pins []string) error {
	return onPeers(path, func(book peerBook) error {
		domain, err := domainArgument(args[0])
		if err == nil {
			err = book.Order(cmd.Context(), what, console.PeerOrder{Domain: domain, Pins: pins})
		}
		if err == nil {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), domain+": done")
		}
		return err
	})
}

func domainArgument(text string) (string, error) {
	d, err := domainOf(text)
	return d.String(), err
}

// domainOf reads the name of a domain as it is typed.
func domainOf(text string) (jid.Domain, error) {
	d, err := jid.ParseDomain(text)
	if err != nil {
		return d, fmt.Errorf("%q is not a domain, such as partner.example (%w)", text, err)
	}
	return d, nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
