// Package source reads the source of an Edge Function from a directory: the
// entry point and every file that it imports.
package source

import (
	"crypto/sha256"
	"encoding/hex"
)

// Entrypoint is the file of a function's directory that the runtime executes.
const Entrypoint = "index.ts"

// ImportMaps are the names that an import map beside the entry point may have.
// The first one that exists is used.
var ImportMaps = []string{"deno.json", "deno.jsonc", "import_map.json"}

// Source is the source code of one Edge Function.
type Source struct {
	// Files maps a slash-separated path, relative to the directory of the
	// entry point, to the file's content. A path may begin with "../".
	Files map[string][]byte
	// ImportMap is the path of the import map in Files, or empty.
	ImportMap string
}

// Digests maps the path of every file to the digest of its content.
func (s Source) Digests() map[string]string {
	digests := make(map[string]string, len(s.Files))
	for name, content := range s.Files {
		digests[name] = Digest(content)
	}
	return digests
}

// Digest returns the SHA-256 of content in lower-case hexadecimal.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
