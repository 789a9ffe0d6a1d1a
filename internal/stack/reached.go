package stack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
)

// knownGraphs has what some files reach, by the digest of their contents. All stacks of this
// process share it.
var knownGraphs struct {
	sync.Mutex
	files map[[sha256.Size]byte][]string
}

// reached is graph, which is asked once for the same files: starting Deno is most of what a
// deployment costs, and functions of several backups differ only in their directory. The
// names of what is uploaded are remembered relative to that.
func (s *functionStore) reached(ctx context.Context, source string, b *bundle, uploaded map[string][]byte) ([]string, error) {
	own := path.Dir(b.entrypoint) + "/"
	short := func(name string) string {
		if rest, ok := strings.CutPrefix(name, own); ok {
			return "own/" + rest
		}
		return name
	}
	sum, base := sha256.New(), "/"+path.Base(path.Dir(b.entrypoint))+"/"
	_, _ = fmt.Fprintf(sum, "%q %q %q %q\n", s.deno, short(b.entrypoint), short(b.importMap), b.flags)
	for _, name := range slices.Sorted(maps.Keys(uploaded)) {
		content := uploaded[name]
		if name != b.importMap && path.Ext(name) == ".json" && json.Valid(content) {
			content = nil // whatever it says, it imports nothing
		}
		_, _ = fmt.Fprintf(sum, "%q %x\n", short(name), sha256.Sum256(content))
		// A file that names the directory may reach something else elsewhere.
		if bytes.Contains(uploaded[name], []byte(base)) || strings.HasPrefix(name, "own/") {
			files, _, err := s.graph(ctx, source, b)
			return files, err
		}
	}
	key := [sha256.Size]byte(sum.Sum(nil))
	knownGraphs.Lock()
	known := knownGraphs.files[key]
	knownGraphs.Unlock()
	if known == nil {
		files, alone, err := s.graph(ctx, source, b)
		if err != nil || !alone {
			return files, err
		}
		for _, name := range files {
			known = append(known, short(name))
		}
		knownGraphs.Lock()
		defer knownGraphs.Unlock()
		if knownGraphs.files == nil {
			knownGraphs.files = map[[sha256.Size]byte][]string{}
		}
		knownGraphs.files[key] = known
		return files, nil
	}
	files := make([]string, len(known))
	for i, name := range known {
		files[i] = name
		if rest, ok := strings.CutPrefix(name, "own/"); ok {
			files[i] = own + rest
		}
	}
	return files, nil
}
