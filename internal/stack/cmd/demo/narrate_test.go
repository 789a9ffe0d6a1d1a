package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Proves that what is being waited for is told every ten seconds in a log, and every second
// in one line of a terminal, which is gone when something else is told.
func TestWaiting(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		live bool
		want string
	}{
		"a log":      {false, margin + "… waiting for it, 10 s\n" + margin + "… waiting for it, 20 s\n" + margin + "there\n"},
		"a terminal": {true, margin + "… waiting for it, 1 s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				n := &narrator{out: &out, live: c.live}
				began := time.Now()
				look := func() (bool, error) { return time.Since(began) > 25*time.Second, nil }
				if err := n.await(t.Context(), time.Minute, "it", look); err != nil {
					t.Fatal(err)
				}
				n.tell("there")
				got := out.String()
				if !c.live && got != c.want {
					t.Errorf("it tells %q", got)
				}
				if lines := strings.Split(got, eraseLine); c.live && (len(lines) != 26 || lines[0] != c.want || lines[25] != margin+"there\n" || strings.Count(got, "\n") != 1) {
					t.Errorf("it tells %q", got)
				}
			})
		})
	}
}

// Proves how numbers, lists and long lines are written.
func TestWords(t *testing.T) {
	t.Parallel()
	for number, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := count(number); got != want {
			t.Errorf("%d is written %s", number, got)
		}
	}
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := list(words); got != want {
			t.Errorf("%v is written %q", words, got)
		}
	}
	if got := wrapped("one two three\n  four five\n", 9); got != "one two\n   three\n  four\n   five\n" {
		t.Errorf("it is broken as %q", got)
	}
}
