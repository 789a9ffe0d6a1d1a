package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A narrator tells the story: chapters, what is done, and that something is still going on.
type narrator struct {
	out io.Writer
	// live says that out is a terminal, on which a line can be written again.
	live bool

	chapters int

	mu sync.Mutex
	// waiting is the line on the terminal that says what is being waited for.
	waiting bool
}

// newNarrator tells it on standard output.
func newNarrator() *narrator {
	info, err := os.Stdout.Stat()
	return &narrator{out: os.Stdout, live: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

const margin = "   "

// print writes text, in the place of a line that says what is being waited for.
func (n *narrator) print(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.waiting {
		text = eraseLine + text
		n.waiting = false
	}
	_, _ = io.WriteString(n.out, text)
}

// eraseLine makes the line of a terminal empty.
const eraseLine = "\r\x1b[K"

// wait writes that something is being waited for.
func (n *narrator) wait(line string) {
	if !n.live {
		n.print(line + "\n")
		return
	}
	n.print(line)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting = true
}

// chapter begins a chapter.
func (n *narrator) chapter(title string) {
	n.chapters++
	n.print(fmt.Sprintf("\n%d. %s\n\n", n.chapters, title))
}

// tell writes text, each line of it with a margin.
func (n *narrator) tell(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			line = margin + line
		}
		n.print(line + "\n")
	}
}

// typed writes a command that is run.
func (n *narrator) typed(command string) { n.print("\n" + margin + "$ " + command + "\n") }

// gap writes an empty line.
func (n *narrator) gap() { n.print("\n") }

// during says, until the returned function is called, that something is being waited for
// and for how long already: in one line that ends with it on a terminal, and otherwise in
// a line every ten seconds.
func (n *narrator) during(what string) (done func()) {
	began, every := time.Now(), 10*time.Second
	if n.live {
		every = time.Second
	}
	ended := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				n.print("")
				return
			case <-ticker.C:
				n.wait(fmt.Sprintf("%s… %s, %d s", margin, what, int(time.Since(began).Seconds())))
			}
		}
	})
	return func() {
		close(ended)
		telling.Wait()
	}
}

// await looks again and again until something is there, and says that it waits.
func (n *narrator) await(ctx context.Context, patience time.Duration, what string, look func() (bool, error)) error {
	defer n.during("waiting for " + what)()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		found, err := look()
		switch {
		case found:
			return nil
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("look for %s: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come within %s: %w", what, patience, ctx.Err())
		case <-ticker.C:
		}
	}
}

// count writes a number with a comma after each thousand.
func count[T int | int64](number T) string {
	digits := strconv.FormatInt(int64(number), 10)
	var b bytes.Buffer
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// list joins words as a sentence does.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
