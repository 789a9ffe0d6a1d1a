package schedule

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
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

// ZoneError says why the name of a time zone is refused and what to write
// instead.
type ZoneError struct {
	// Name is the name as it was given.
	Name string
	// Reason is a clause that says what is wrong.
	Reason string
	// Hint is a clause that says what to write instead.
	Hint string
}

// Error returns the reason and the hint in one line.
func (e *ZoneError) Error() string {
	return fmt.Sprintf("time zone %q: %s; %s", e.Name, e.Reason, e.Hint)
}

// LoadZone returns the time zone of an IANA name: a region and a city such as
// "America/Sao_Paulo", or "UTC". It reads only the embedded database.
//
// For any other name the error is a [*ZoneError] that suggests the nearest one.
// Abbreviations such as "BRT" or "EST" are ambiguous or mean a fixed offset,
// "Local" is a different zone on every machine, and "Etc/GMT+3" means the
// opposite of what it says.
func LoadZone(name string) (*time.Location, error) {
	if name == "UTC" || name == "Etc/UTC" {
		return time.UTC, nil
	}
	file, known := zones()[name]
	switch {
	case name == "":
		return nil, &ZoneError{name, "the name is empty", zoneExample}
	case fixedOffset.MatchString(name):
		return nil, &ZoneError{name, "a fixed offset is not a place, and Etc/GMT+n means west of Greenwich", zoneExample}
	case !known && strings.Contains(name, "/"):
		return nil, &ZoneError{name, "there is no such zone in the IANA database", nearestZone(name)}
	case !strings.Contains(name, "/"):
		return nil, &ZoneError{name, "it must be a region and a city, because abbreviations and country names do not say when the clock changes", nearestZone(name)}
	}
	data, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: embedded database: %w", name, err)
	}
	location, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: embedded database: %w", name, err)
	}
	return location, nil
}

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
var fixedOffset = regexp.MustCompile(`^(Etc/)?(GMT|UTC|UCT)?[+-][0-9:]+$`)

const zoneExample = `write a region and a city, such as "America/Sao_Paulo", or "UTC"`

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

// nearestZone suggests the known name that is most similar: the same but for case
// and accents, one with the same city, or the one with the smallest edit
// distance.
func nearestZone(name string) (hint string) {
	plain := plainName(name)
	if place, ok := places[plain]; ok {
		return fmt.Sprintf("write %q", place)
	}
	region, city := path.Split(plain)
	best, bestDistance := "", len(plain)/2 // more than half is not similar
	for _, zone := range slices.Sorted(maps.Keys(zones())) {
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
		return zoneExample
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

// span is a time during which the clock of a zone has one offset.
type span struct {
	start, end int64 // minutes since 1970 in UTC, end excluded
	offset     int64 // minutes that the clock is ahead of UTC
}

// probe is the distance, in minutes, at which spans looks for changes. No zone has
// changed its clock twice within that time since 1970, and none plans to.
const probe = 2 * minutesPerDay

// spans yields the time from a minute on, without end, in adjacent spans of at
// most probe minutes. Adjacent spans may have the same offset.
//
// It compares offsets instead of using time.Time.ZoneBounds, whose bounds for the
// last day of a leap year do not include that day.
func spans(loc *time.Location, from int64) iter.Seq[span] {
	return func(yield func(span) bool) {
		offset := offsetAt(loc, from)
		for {
			end := from + probe
			next := offsetAt(loc, end)
			if next != offset {
				// The clock changes at the first minute with the new offset.
				before := from
				for end-before > 1 {
					if middle := before + (end-before)/2; offsetAt(loc, middle) == offset {
						before = middle
					} else {
						end = middle
					}
				}
			}
			if !yield(span{from, end, offset}) {
				return
			}
			from, offset = end, next
		}
	}
}

// offsetAt returns how many minutes the clock of a zone is ahead of UTC at a
// minute. Offsets with seconds, which no zone has had since 1972, are rounded
// down, so that a local minute is due at the first minute of UTC not before it.
func offsetAt(loc *time.Location, minute int64) int64 {
	_, seconds := time.Unix(minute*60, 0).In(loc).Zone()
	return floorDiv(int64(seconds), 60)
}

// minuteOf returns the minute of t, counted in UTC from 1970.
func minuteOf(t time.Time) int64 { return floorDiv(t.Unix(), 60) }

// floorDiv divides and rounds down.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
