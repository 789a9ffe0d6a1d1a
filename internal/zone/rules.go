package zone

import (
	"encoding/binary"
	"fmt"
	"time"
)

// A Change says from when on the clock of a zone is ahead of UTC by an offset.
type Change struct {
	At     time.Time
	Offset time.Duration
}

// NewLocation returns a time zone whose clock goes by the changes, which are in
// ascending order: before the first one as after it, after the last one for ever.
// It is for the rules of another zone database than the embedded one. Times are
// precise to the second.
func NewLocation(name string, changes []Change) (*time.Location, error) {
	n := len(changes)
	if n == 0 {
		return nil, fmt.Errorf("time zone %q: there are no rules", name)
	}
	if n > 256 {
		return nil, fmt.Errorf("time zone %q: %d changes are too many", name, n)
	}
	// The zones' own format, of RFC 8536: an empty part for readers of version 1,
	// then the changes, each with a kind of time of its own.
	const header, kindSize, abbreviation = 44, 6, "-\x00"
	data := append(make([]byte, 0, 2*header+n*(8+1+kindSize)+len(abbreviation)), "TZif2"...)
	data = append(data, make([]byte, header-len(data))...)
	second := len(data)
	data = append(data, "TZif2"...)
	data = append(data, make([]byte, second+header-len(data))...)
	for at, count := range map[int]int{32: n, 36: n, 40: len(abbreviation)} {
		binary.BigEndian.PutUint32(data[second+at:], uint32(count))
	}
	var before time.Time
	for i, c := range changes {
		if i > 0 && !before.Before(c.At) {
			return nil, fmt.Errorf("time zone %q: the change at %s is out of order", name, c.At.UTC().Format(time.RFC3339))
		}
		before = c.At
		data = binary.BigEndian.AppendUint64(data, uint64(c.At.Unix()))
	}
	for i := range changes {
		data = append(data, byte(i))
	}
	for _, c := range changes {
		data = binary.BigEndian.AppendUint32(data, uint32(c.Offset/time.Second))
		data = append(data, 0, 0)
	}
	data = append(data, abbreviation...)
	location, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", name, err)
	}
	return location, nil
}
