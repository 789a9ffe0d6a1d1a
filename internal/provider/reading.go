package provider

import "github.com/hashicorp/terraform-plugin-framework/diag"

// A reading is a value that was read from a configuration or a plan.
type reading[T any] struct {
	value T
	// known is false if the value depends on one that is not known yet, and if it
	// cannot be read.
	known bool
	diags diag.Diagnostics
}

// unknown returns the reading of a value that is not known yet.
func unknown[T any]() reading[T] { return reading[T]{} }

// readingOf returns the reading of a value, which is known unless there are errors.
func readingOf[T any](value T, diags diag.Diagnostics) reading[T] {
	return reading[T]{value: value, known: !diags.HasError(), diags: diags}
}

// report appends the diagnostics of a reading and returns its value.
func (r reading[T]) report(diags *diag.Diagnostics) (value T, known bool) {
	diags.Append(r.diags...)
	return r.value, r.known
}
