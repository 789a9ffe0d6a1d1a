package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mutant is one change of one file.
type mutant struct {
	file       string // slash-separated, relative to the repository
	line       int
	text       string // that line, without the white space around it
	start, end int    // the replaced bytes
	new        string // what replaces them
	change     string // the change for a reader, and for the list of skips
}

func (m mutant) String() string {
	return fmt.Sprintf("%s:%d: %s", m.file, m.line, m.change)
}

// newMutant describes a replacement in a source text.
func newMutant(file string, source []byte, start, end int, replacement string) mutant {
	begin := bytes.LastIndexByte(source[:start], '\n') + 1
	line, _, _ := bytes.Cut(source[begin:], []byte("\n"))
	return mutant{
		file: file, line: bytes.Count(source[:start], []byte("\n")) + 1, text: strings.TrimSpace(string(line)),
		start: start, end: end, new: replacement,
		change: describe(string(source[start:end]), replacement),
	}
}

// apply returns the source with the mutant in it.
func (m mutant) apply(source []byte) []byte {
	return slices.Concat(source[:m.start], []byte(m.new), source[m.end:])
}

// describe shows a change: of long texts the neighborhood of what differs.
func describe(from, to string) string {
	a, b := []rune(oneSpace(from)), []rune(oneSpace(to))
	before := 0
	for before < min(len(a), len(b)) && a[before] == b[before] {
		before++
	}
	after := 0
	for after < min(len(a), len(b))-before && a[len(a)-1-after] == b[len(b)-1-after] {
		after++
	}
	const shown = 30
	cut := func(text []rune) string {
		tail := ""
		if after > shown {
			text, tail = text[:len(text)-after+shown], "…"
		}
		if before > shown {
			return "…" + oneLine(string(text[before-shown:])) + tail
		}
		return oneLine(string(text)) + tail
	}
	return cut(a) + " → " + cut(b)
}

func oneSpace(text string) string { return strings.Join(strings.Fields(text), " ") }

// oneLine shortens a piece of source for a report.
func oneLine(text string) string {
	text = oneSpace(text)
	if text == "" {
		return "(nothing)"
	}
	if runes := []rune(text); len(runes) > 100 {
		return string(runes[:60]) + " … " + string(runes[len(runes)-37:])
	}
	return text
}

// fate is what became of a mutant.
type fate int

const (
	killed fate = iota
	timedOut
	survived
)

// outcome is a mutant that was tested.
type outcome struct {
	mutant
	fate fate
	by   string // the first test that failed
}

// result is what was measured of one part.
type result struct {
	part       string
	candidates int // mutants in covered code
	outcomes   []outcome
	skipped    []skip
	took       time.Duration
}

func (r *result) count(f fate) int {
	n := 0
	for _, o := range r.outcomes {
		if o.fate == f {
			n++
		}
	}
	return n
}

// share is the percentage of the mutants that the tests noticed. It is 0 for a
// part of which no test runs anything.
func (r *result) share() float64 {
	if len(r.outcomes) == 0 {
		return 0
	}
	return 100 * float64(r.count(killed)+r.count(timedOut)) / float64(len(r.outcomes))
}

func (r *result) printMutants(w io.Writer, all bool) {
	fmt.Fprintf(w, "%s: %d of %d mutants, %.0f s\n", r.part, len(r.outcomes), r.candidates, r.took.Seconds())
	for _, o := range r.outcomes {
		switch {
		case o.fate == survived:
			fmt.Fprintf(w, "  survived  %s\n", o.mutant)
		case all:
			fmt.Fprintf(w, "  killed    %s   by %s\n", o.mutant, o.by)
		}
	}
	for _, s := range r.skipped {
		fmt.Fprintf(w, "  skipped   %s: %s: %s\n", s.File, s.Change, s.Why)
	}
}

func printTable(w io.Writer, results []*result, least int) {
	fmt.Fprintln(w, "\n| part | sampled | killed | of them by time | survived | share |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|")
	for _, r := range results {
		note := ""
		if r.share() < float64(least) {
			note = fmt.Sprintf(" (below %d %%)", least)
		}
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %.0f %%%s |\n", r.part, len(r.outcomes),
			r.count(killed)+r.count(timedOut), r.count(timedOut), r.count(survived), r.share(), note)
	}
}

func allAbove(results []*result, least int) bool {
	return !slices.ContainsFunc(results, func(r *result) bool { return r.share() < float64(least) })
}

// sample returns n of the mutants, or all if n is 0, in an order that depends on
// the seed and the part's name alone.
func sample(all []mutant, n int, seed uint64, part string) []mutant {
	shuffled := shuffle(len(all), seed, part)
	if n > 0 && n < len(shuffled) {
		shuffled = shuffled[:n]
	}
	chosen := make([]mutant, 0, len(shuffled))
	for _, i := range shuffled {
		chosen = append(chosen, all[i])
	}
	return chosen
}

// shuffle returns the numbers below n in random order.
func shuffle(n int, seed uint64, part string) []int {
	name := fnv.New64a()
	_, _ = name.Write([]byte(part))
	return rand.New(rand.NewPCG(seed, name.Sum64())).Perm(n)
}

//go:embed skip.json
var skipFile []byte

// skip is a mutant that no test can kill, because it changes nothing that
// anybody could notice.
type skip struct {
	File   string `json:"file"`
	Line   string `json:"line"`   // the line's text, without the white space around it
	Change string `json:"change"` // as the report prints it; empty for every change of the line
	Why    string `json:"why"`
}

type skipList []skip

// readSkips reads the list of skips. An entry whose line is gone, or which says
// no reason, is an error: it would hide whatever comes in its place.
func readSkips(text []byte, root string) (skipList, error) {
	var list skipList
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("read skip.json: %w", err)
	}
	for _, s := range list {
		if strings.TrimSpace(s.Why) == "" {
			return nil, fmt.Errorf("skip.json: the entry for %q in %s does not say why", s.Line, s.File)
		}
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(s.File)))
		if err != nil {
			return nil, fmt.Errorf("skip.json: %w", err)
		}
		if !slices.ContainsFunc(strings.Split(string(source), "\n"), func(line string) bool { return strings.TrimSpace(line) == s.Line }) {
			return nil, fmt.Errorf("skip.json: %s has no line %q any more; delete the entry, or give it the new text", s.File, s.Line)
		}
	}
	return list, nil
}

// filter takes the skipped mutants out of a list.
func (l skipList) filter(all []mutant) (kept []mutant, skipped []skip) {
	for _, m := range all {
		i := slices.IndexFunc(l, func(s skip) bool {
			return s.File == m.file && s.Line == m.text && (s.Change == "" || s.Change == m.change)
		})
		if i < 0 {
			kept = append(kept, m)
		} else {
			s := l[i]
			s.Change = m.change
			skipped = append(skipped, s)
		}
	}
	return kept, skipped
}
