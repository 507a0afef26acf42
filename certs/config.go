package certs

// Config says where certificates and trust anchors come from. The zero Config has no certificate of its own and trusts the
// system's anchors.
type Config struct {
	// Store is the directory of the certificates that the gate obtains by itself.
	Store string
	// Files are certificates that somebody else renews.
	Files []File
	// Roots are PEM files with further trust anchors for peers.
	Roots []string
	// SystemRoots says whether the system's trust anchors count beside Roots; nil means yes.
	SystemRoots *bool
}

// File is a chain in PEM, leaf first, with its private key. An empty Key says that the key stands in the same file.
type File struct{ Cert, Key string }

// key is the file that holds the private key.
func (f File) key() string {
	if f.Key == "" {
		return f.Cert
	}
	return f.Key
}

// system says whether the system's anchors count.
func (c Config) system() bool { return c.SystemRoots == nil || *c.SystemRoots }

// Fault is one thing that is wrong with one file.
type Fault struct {
	File   string
	Reason string
	Next   string // what mends it
	Err    error  // the cause below, may be nil
}

// Error returns file, reason and next step in one line.
func (f *Fault) Error() string { return f.File + ": " + f.Reason + "; " + f.Next }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }
