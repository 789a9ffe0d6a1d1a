package text

import (
	"regexp"
	"sync"
)

// Pattern returns a function that compiles a regular expression when it is called for the
// first time. It panics then if it cannot.
//
// Terraform starts the provider several times in one run, and most of its expressions are
// used in none of them: compiling all of them took longer than everything else that this
// module does before it is asked for something.
func Pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
