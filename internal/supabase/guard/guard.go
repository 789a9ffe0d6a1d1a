// Package guard lets the caller of a request decide at the last moment whether it may
// still be sent. A request may have to wait, for the rate limit or to be repeated, and
// what allowed it when the wait began may be over when it ends.
package guard

import "context"

type key struct{}

// With returns a context under which every attempt of a request is preceded by a call
// of may, with nothing but the sending after it. If may returns an error, the attempt
// is not made, and the error ends the request.
func With(ctx context.Context, may func(context.Context) error) context.Context {
	return context.WithValue(ctx, key{}, may)
}

// Ask returns why a request must not be sent now, and nil if it may.
func Ask(ctx context.Context) error {
	may, ok := ctx.Value(key{}).(func(context.Context) error)
	if !ok {
		return nil
	}
	// What may asks for itself is not guarded.
	return may(context.WithValue(ctx, key{}, nil))
}
