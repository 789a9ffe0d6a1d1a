package stack

import "fmt"

// gaveUp is the panic with which a step ends the steps of Steps.
type gaveUp struct{ error }

// Steps runs steps of which each may give up with Must or Failf, and returns the error
// with which one did. It is for tests that continue with other steps then, where a
// testing.T would end.
func Steps(do func()) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			gave, ok := problem.(gaveUp)
			if !ok {
				panic(problem)
			}
			err = gave.error
		}
	}()
	do()
	return nil
}

// Must gives up if there is an error.
func Must(err error) {
	if err != nil {
		panic(gaveUp{err})
	}
}

// Failf gives up with an error that is formatted as by fmt.Errorf.
func Failf(format string, args ...any) { panic(gaveUp{fmt.Errorf(format, args...)}) }
