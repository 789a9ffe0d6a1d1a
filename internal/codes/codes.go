// Package codes holds what is said about every code of a failed run and of a
// problem of a status: one file, codes.json, and nothing about a code anywhere
// else. The Edge Function and the dispatcher's SQL get their texts from it when
// they are installed, and the tables of the guides are generated from it.
package codes

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Places where a code can arise.
const (
	// Dispatcher: the database could not make the request.
	Dispatcher = "dispatcher"
	// Watchdog: the watchdog's judgement of a run, or of the time without one.
	Watchdog = "watchdog"
	// Function: the Edge Function's own report of a failed run. Only there the
	// error beside the code is a whole Portuguese sentence.
	Function = "function"
	// Refusal: the Edge Function's answer to a request that it does not accept.
	Refusal = "refusal"
	// Platform: an HTTP status with which something other than the function
	// answered.
	Platform = "platform"
	// Drill: the result of a restore drill.
	Drill = "drill"
	// Offsite: the failure of a copy outside the project.
	Offsite = "offsite"
	// Status: a problem of the status, for whoever asks.
	Status = "status"
	// Plan: a finding of a plan.
	Plan = "plan"
)

// Places are all places where a code can arise.
var Places = []string{Dispatcher, Watchdog, Function, Refusal, Platform, Drill, Offsite, Plan, Status}

const (
	// AnyStatus is the code whose texts stand for every http_NNN that has none
	// of its own.
	AnyStatus = "http_*"
	// unknown is the code whose texts stand for every other code that has none,
	// such as those of a function of the user's own.
	unknown = "function_failed"
)

// Text is what is said about a code. No text holds a line break.
type Text struct {
	// Meaning says in English what happened, and Remedy what to do about it.
	// Meaning is a clause without its full stop, Remedy one or more sentences,
	// which may have parts in `backquotes`.
	Meaning string `json:"meaning"`
	Remedy  string `json:"remedy"`
	// Reason and Advice say the same in Portuguese, to readers of an e-mail and
	// of the admin panel: clauses in lower case without their full stop.
	Reason string `json:"reason"`
	Advice string `json:"advice"`
}

// Clause is the meaning as a part of a sentence: its first letter is small.
func (t Text) Clause() string {
	return strings.ToLower(t.Meaning[:1]) + t.Meaning[1:]
}

// Code is one entry of codes.json.
type Code struct {
	Text
	// Condition is the condition of a backup that the code speaks for; Also has
	// further ones with the case in which they hold, as the rest of a sentence
	// that begins with "if".
	Condition string            `json:"condition"`
	Also      map[string]string `json:"also,omitempty"`
	// Arises lists the places where the code can arise.
	Arises []string `json:"arises"`
	// SQLStates has more exact texts for errors of the database, by SQLSTATE or
	// by PostgREST's own code.
	SQLStates map[string]Text `json:"sqlstates,omitempty"`
}

// ArisesAt reports whether the code can arise in a place.
func (c Code) ArisesAt(place string) bool { return slices.Contains(c.Arises, place) }

// OfRun reports whether the code is one of a run or of a request, which the
// database and the Edge Function know, and not only of a status or a plan.
func (c Code) OfRun() bool {
	return slices.ContainsFunc(c.Arises, func(place string) bool { return place != Status && place != Plan })
}

//go:embed codes.json
var file []byte

var load = sync.OnceValue(func() map[string]Code {
	var all map[string]Code
	if err := json.Unmarshal(file, &all); err != nil {
		panic(fmt.Sprintf("codes: the embedded codes.json is broken: %v", err))
	}
	return all
})

// All returns every code by its name. The map is the caller's; the codes in it
// must not be changed.
func All() map[string]Code { return maps.Clone(load()) }

// Find returns the code of exactly this name.
func Find(name string) (Code, bool) {
	code, ok := load()[name]
	return code, ok
}

// Lookup returns what is said about the code of a run, and about the SQLSTATE
// that came with it, which may be empty. It knows something to say about every
// code: an HTTP status without an entry is AnyStatus, and any other unknown code
// is a failure that the function reported.
func Lookup(name, sqlstate string) Text {
	code, ok := load()[name]
	switch {
	case !ok && strings.HasPrefix(name, "http_"):
		code = load()[AnyStatus]
	case !ok:
		code = load()[unknown]
	}
	if text, ok := code.SQLStates[sqlstate]; ok {
		return text
	}
	return code.Text
}
