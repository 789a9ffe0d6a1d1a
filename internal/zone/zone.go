// Package zone finds time zones by their names in the database that is embedded in
// this program, and makes time zones of the rules of other databases.
package zone

//go:generate sh -c "cp \"$(go env GOROOT)/lib/time/zoneinfo.zip\" zoneinfo.zip"

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// zoneinfo is the IANA time zone database as the Go distribution has it.
//
// It is embedded here, instead of importing time/tzdata, because
// time.LoadLocation prefers the operating system's database: two machines could
// then plan different schedules alternately.
//
//go:embed zoneinfo.zip
var zoneinfo []byte

// zones returns the files of the database by the names of their zones.
var zones = sync.OnceValue(func() map[string]*zip.File {
	archive, err := zip.NewReader(bytes.NewReader(zoneinfo), int64(len(zoneinfo)))
	if err != nil {
		panic(fmt.Sprintf("embedded time zone database: %v", err))
	}
	files := make(map[string]*zip.File, len(archive.File))
	for _, f := range archive.File {
		if !strings.HasSuffix(f.Name, "/") {
			files[f.Name] = f
		}
	}
	return files
})

// Error says why the name of a time zone is refused and what to write
// instead.
type Error struct {
	// Name is the name as it was given.
	Name string
	// Reason is a clause that says what is wrong.
	Reason string
	// Hint is a clause that says what to write instead.
	Hint string
}

// Error returns the reason and the hint in one line.
func (e *Error) Error() string {
	return fmt.Sprintf("time zone %q: %s; %s", e.Name, e.Reason, e.Hint)
}

// locations are the time zones that Load has returned, by name. What it refused is not
// kept, so there are no more than names in the database.
var locations sync.Map

// Load returns the time zone of an IANA name: a region and a city such as
// "America/Sao_Paulo", or "UTC". It reads only the embedded database, and returns the
// same pointer each time.
//
// For any other name the error is a [*Error] that suggests the nearest one.
// Abbreviations such as "BRT" or "EST" are ambiguous or mean a fixed offset,
// "Local" is a different zone on every machine, and "Etc/GMT+3" means the
// opposite of what it says.
func Load(name string) (*time.Location, error) {
	if name == "UTC" || name == "Etc/UTC" {
		return time.UTC, nil
	}
	if kept, ok := locations.Load(name); ok {
		return kept.(*time.Location), nil //nolint:forcetypeassert // there is nothing else in it
	}
	file, known := zones()[name]
	switch {
	case name == "":
		return nil, &Error{name, "the name is empty", example}
	case fixedOffset().MatchString(name):
		return nil, &Error{name, "a fixed offset is not a place, and Etc/GMT+n means west of Greenwich", example}
	case !known && strings.Contains(name, "/"):
		return nil, &Error{name, "there is no such zone in the IANA database", nearest(name)}
	case !strings.Contains(name, "/"):
		return nil, &Error{name, "it must be a region and a city, because abbreviations and country names do not say when the clock changes", nearest(name)}
	}
	data, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: embedded database: %w", name, err)
	}
	location, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: embedded database: %w", name, err)
	}
	kept, _ := locations.LoadOrStore(name, location)
	return kept.(*time.Location), nil //nolint:forcetypeassert // there is nothing else in it
}

// Names are the names in the embedded database, in order, also those that are not
// accepted.
func Names() []string { return slices.Sorted(maps.Keys(zones())) }

func readFile(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if closed := r.Close(); err == nil {
		err = closed
	}
	return data, err
}

// fixedOffset matches "+03:00", "UTC-3", "GMT+3" and "Etc/GMT+3".
var fixedOffset = text.Pattern(`^(Etc/)?(GMT|UTC|UCT)?[+-][0-9:]+$`)

const example = `write a region and a city, such as "America/Sao_Paulo", or "UTC"`

// places are the zones that people mean by names which are not similar.
var places = map[string]string{
	"gmt": "UTC", "gmt0": "UTC", "z": "UTC", "zulu": "UTC", "uct": "UTC", "universal": "UTC", "greenwich": "UTC", "utc0": "UTC", "etc/gmt": "UTC",
	"brt": "America/Sao_Paulo", "brst": "America/Sao_Paulo", "brasilia": "America/Sao_Paulo", "brazil": "America/Sao_Paulo", "america/brasilia": "America/Sao_Paulo", "local": "America/Sao_Paulo",
	"est": "America/New_York", "edt": "America/New_York", "est5edt": "America/New_York", "et": "America/New_York",
	"cst": "America/Chicago", "cdt": "America/Chicago", "cst6cdt": "America/Chicago",
	"mst": "America/Denver", "mdt": "America/Denver", "mst7mdt": "America/Denver",
	"pst": "America/Los_Angeles", "pdt": "America/Los_Angeles", "pst8pdt": "America/Los_Angeles",
	"art": "America/Argentina/Buenos_Aires", "hst": "Pacific/Honolulu",
	"wet": "Europe/Lisbon", "west": "Europe/Lisbon", "portugal": "Europe/Lisbon",
	"cet": "Europe/Berlin", "cest": "Europe/Berlin", "met": "Europe/Berlin", "eet": "Europe/Athens", "eest": "Europe/Athens",
	"gb": "Europe/London", "bst": "Europe/London", "ist": "Asia/Kolkata", "jst": "Asia/Tokyo", "japan": "Asia/Tokyo", "prc": "Asia/Shanghai",
	"msk": "Europe/Moscow", "nz": "Pacific/Auckland",
}

// nearest suggests the known name that is most similar: the same but for case
// and accents, one with the same city, or the one with the smallest edit
// distance.
func nearest(name string) (hint string) {
	plain := plainName(name)
	if place, ok := places[plain]; ok {
		return fmt.Sprintf("write %q", place)
	}
	region, city := path.Split(plain)
	best, bestDistance := "", len(plain)/2 // more than half is not similar
	for _, zone := range Names() {
		if !strings.Contains(zone, "/") || strings.HasPrefix(zone, "Etc/") {
			continue
		}
		candidate := plainName(zone)
		var distance int
		switch candidateCity := path.Base(candidate); {
		case candidate == plain:
			distance = -1
		case city == candidateCity:
			distance = 0
		case region == "":
			distance = editDistance(plain, candidateCity)
		default:
			distance = editDistance(plain, candidate)
		}
		if distance < bestDistance {
			best, bestDistance = zone, distance
		}
	}
	if best == "" {
		return example
	}
	return fmt.Sprintf("write %q", best)
}

// plainName returns a name in lower case, without spaces and accents.
var plainName = func() func(string) string {
	r := strings.NewReplacer(" ", "_", "-", "_", "ã", "a", "á", "a", "â", "a", "é", "e", "ê", "e", "í", "i", "ó", "o", "ô", "o", "ç", "c", "ú", "u")
	return func(name string) string { return r.Replace(strings.ToLower(strings.TrimSpace(name))) }
}()

// editDistance returns how many bytes must be inserted, deleted or replaced to
// turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}
