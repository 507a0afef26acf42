package policy

import (
	"bytes"
	"embed"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// shipped is what comes with the program: base/*.rego with its tests, and the schema of input.
//
//go:embed base/*.rego base/ready/*.rego schema/input.json
var shipped embed.FS

// source is one file as it was read.
type source struct {
	name string // below base or the operator's directory
	file string // as the operator knows it
	text []byte
}

// sources are the files of one revision, in the order of their names.
type sources struct {
	base, baseTests []source // what ships
	rego, regoTests []source // the operator's
	data            []source
	versions        []string // of supplies that have one
}

// readSources reads what ships and, unless dir is empty, the operator's directory with all below it: *.rego, *.json,
// *.yaml, *.yml and *.csv. Names with a leading dot are passed over, as editors and Kubernetes leave them about.
func readSources(dir string) (sources, error) {
	var all sources
	err := eachFile(shipped, "base", func(name string, text []byte) {
		place(source{name, name, text}, &all.base, &all.baseTests, &all.data)
	})
	if err != nil || dir == "" {
		return all, err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return all, Faults{{File: dir, Text: unread(err) + "; is it the folder of the policy (policy.dir)?"}}
	}
	err = eachFile(os.DirFS(dir), ".", func(name string, text []byte) {
		place(source{name, filepath.Join(dir, filepath.FromSlash(name)), text}, &all.rego, &all.regoTests, &all.data)
	})
	return all, within(dir, err)
}

// within names the files of faults as the operator knows them.
func within(dir string, err error) error {
	var faults Faults
	if !errors.As(err, &faults) {
		return err
	}
	for i := range faults {
		faults[i].File = filepath.Join(dir, filepath.FromSlash(faults[i].File))
	}
	return faults
}

func place(s source, rego, tests, data *[]source) {
	switch {
	case strings.HasSuffix(s.file, "_test.rego"):
		*tests = append(*tests, s)
	case strings.HasSuffix(s.file, ".rego"):
		*rego = append(*rego, s)
	default:
		*data = append(*data, s)
	}
}

func eachFile(files fs.FS, root string, yield func(name string, text []byte)) error {
	var faults Faults
	err := fs.WalkDir(files, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			faults = append(faults, Fault{File: name, Text: unread(err)})
			return nil
		}
		if name != root && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		text, err := readFile(files, name, d)
		if err != nil {
			faults = append(faults, Fault{File: name, Text: unread(err)})
		} else if text != nil {
			yield(name, text)
		}
		return nil
	})
	if err != nil {
		faults = append(faults, Fault{Text: err.Error()})
	}
	return faults.orNil()
}

// unread says why something was not read, without the path, which the fault has.
func unread(err error) string {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return "cannot be read: " + failed.Err.Error()
	}
	return err.Error()
}

// readFile reads a file that is ours by its name, and gives nil for others. What an operator may take for a part of the policy and
// would not be read is an error: rules that are passed over in silence refuse nothing.
func readFile(files fs.FS, name string, d fs.DirEntry) ([]byte, error) {
	mode := d.Type()
	if mode&fs.ModeSymlink != 0 {
		st, err := fs.Stat(files, name)
		if err != nil {
			return nil, err
		}
		mode = st.Mode()
	}
	wrong := ""
	switch {
	case mode.IsDir():
		wrong = "is a link to a directory, and those are not followed; copy it, or make policy.dir the directory"
	case !known(strings.ToLower(name)):
		return nil, nil
	case !known(name):
		wrong = "would be read if its ending were in lower case"
	case !mode.IsRegular():
		wrong = "is not a file"
	default:
		text, err := fs.ReadFile(files, name)
		if text = bytes.TrimPrefix(text, []byte("\ufeff")); text == nil { // editors of Windows put that there
			text = []byte{}
		}
		return text, err
	}
	return nil, errors.New(wrong)
}

func known(name string) bool {
	switch path.Ext(name) {
	case ".rego", ".json", ".yaml", ".yml", ".csv":
		return true
	}
	return false
}
