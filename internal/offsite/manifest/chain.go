package manifest

import (
	"cmp"
	"fmt"
	"path"
	"slices"
)

// A Break is a place where the chain of a destination's manifests is broken.
type Break struct {
	// Folder is the folder of the manifest that is missing or was changed.
	Folder string `json:"folder"`
	// Missing says that it is not in the bucket; otherwise it is not the one that its
	// successor names.
	Missing bool `json:"missing"`
	// Problem says what is wrong.
	Problem string `json:"problem"`
}

// Chain checks that each manifest names the one before and its digest. The manifests
// are those of one destination in one bucket, in any order. That the oldest one's
// predecessor is missing is no break: objects expire. Nothing in a bucket can show that
// the newest one was removed.
func Chain(manifests []*Manifest) (breaks []Break) {
	manifests = slices.SortedFunc(slices.Values(manifests), func(a, b *Manifest) int {
		return cmp.Or(cmp.Compare(a.Sequence, b.Sequence), a.MadeAt.Compare(b.MadeAt))
	})
	byFolder := map[string]*Manifest{}
	for _, m := range manifests {
		byFolder[m.Folder()] = m
	}
	for i, m := range manifests {
		if i > 0 && manifests[i-1].Sequence == m.Sequence {
			breaks = append(breaks, Break{Folder: m.Folder(), Problem: fmt.Sprintf("it has the same number in the chain, %d, as %s", m.Sequence, manifests[i-1].Folder())})
			continue
		}
		if m.Previous == nil {
			if i > 0 {
				breaks = append(breaks, Break{Folder: m.Folder(), Problem: "it names no manifest before it, although there are older ones"})
			}
			continue
		}
		folder := path.Base(path.Dir(m.Previous.Key))
		previous := byFolder[folder]
		switch {
		case previous == nil && i == 0:
		case previous == nil:
			problem := fmt.Sprintf("it is missing: %s names it as the backup before", m.Folder())
			if gap := m.Sequence - 1 - manifests[i-1].Sequence; gap > 1 {
				problem += fmt.Sprintf(", and %d more before it are missing", gap-1)
			}
			breaks = append(breaks, Break{Folder: folder, Missing: true, Problem: problem})
		case previous.SHA256 != m.Previous.SHA256:
			breaks = append(breaks, Break{Folder: folder, Problem: fmt.Sprintf("its manifest was changed: %s names another digest of it", m.Folder())})
		case previous.Sequence != m.Sequence-1:
			breaks = append(breaks, Break{Folder: m.Folder(), Problem: fmt.Sprintf("its number in the chain is %d, and that of the manifest before is %d", m.Sequence, previous.Sequence)})
		}
	}
	return breaks
}
