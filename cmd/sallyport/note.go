package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/internal/console"
)

// noteDeed puts on the record what this command is about to do with it, and returns when it is there: by the running gate, which
// alone may write then, or else by opening the record itself. The command goes on only without an error. Who does it is the
// system's to say; n.As is what sudo says, unless it is given.
func noteDeed(ctx context.Context, c *config.Config, n console.Note) error {
	kind, err := audit.ParseDeed(n.Kind)
	if err != nil {
		return err
	}
	n.As = cmp.Or(n.As, os.Getenv("SUDO_USER"))
	if err := isRecord(c.Audit.Dir); err != nil {
		return err
	}
	record, err := audit.Open(c.Audit.Config)
	if errors.As(err, new(*audit.LockedError)) {
		_, err = console.Noted(ctx, c.Admin.Socket, n)
	} else if err == nil {
		_, err = appendDeed(ctx, record, deed(kind, os.Getuid(), n))
		err = errors.Join(err, record.Close(), giveBack(c.Audit.Dir, c.Audit.SecretsDir())) // Close writes too
	}
	if err != nil {
		return fmt.Errorf("%s cannot be recorded, so it is not done: %w", n.Kind, err)
	}
	return nil
}

// recordDeed records what somebody asks for over the admin socket.
func (g *gate) recordDeed(ctx context.Context, uid int, n console.Note) (console.Recorded, error) {
	kind, err := audit.ParseDeed(n.Kind)
	if err != nil {
		return console.Recorded{}, fmt.Errorf("%w: %w", console.ErrBadNote, err)
	}
	return appendDeed(ctx, g.record, deed(kind, uid, n))
}

func deed(kind audit.Kind, uid int, n console.Note) audit.Event {
	return audit.Event{Kind: kind, Deed: audit.DeedPart{Who: userName(uid), As: n.As, Why: n.Why, Query: n.Query},
		Count: n.Count, Key: n.Key, Segment: n.Segment, SHA256: n.SHA256,
		Of: n.Of, Since: n.Since, Until: n.Until}
}

// appendDeed commits one event. With on_failure: pass, too, what is not in the record is not done.
func appendDeed(ctx context.Context, record *audit.Log, e audit.Event) (console.Recorded, error) {
	events := []audit.Event{e}
	if err := record.Append(ctx, events); err != nil {
		return console.Recorded{}, err
	}
	if events[0].Seq == 0 {
		return console.Recorded{}, audit.ErrUnrecorded
	}
	return console.Recorded{Seq: events[0].Seq, ID: events[0].ID.String()}, nil
}

// userName names a user by what the system knows for sure, the number, and by its name where there is one.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("%s (uid %d)", u.Username, uid)
	}
	return fmt.Sprintf("uid %d", uid)
}

// giveBack gives the files that root has just made in a record, and beside it, to whom the record belongs: the gate has to go on with them.
func giveBack(dir, secrets string) error {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return errors.Join(chownNew(dir, owner), chownNew(secrets, owner))
}

// chownNew gives the files and folders of root's in dir to their owner. Whoever owns dir may move them under our hands: nothing outside of
// it is touched, and nothing that has another name.
func chownNew(dir string, owner *syscall.Stat_t) error {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := root.Lstat(path)
		if err != nil {
			return err
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok || s.Uid != 0 || info.Mode().IsRegular() && s.Nlink != 1 {
			return nil
		}
		return root.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}
