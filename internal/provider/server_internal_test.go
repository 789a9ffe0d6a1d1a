package provider

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"weak"
)

// TestBoundedHoldsNothing proves that a call sees its own context and is
// cancelled with it, and that what somebody keeps of the context afterwards
// holds none of the call's values and has ended.
func TestBoundedHoldsNothing(t *testing.T) {
	t.Parallel()
	type key struct{}
	type value [1 << 16]byte
	var (
		kept context.Context
		held weak.Pointer[value]
	)
	func() {
		v := new(value)
		held = weak.Make(v)
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, v))
		defer cancel()
		answer, err := bounded(ctx, &v[0], func(ctx context.Context, req *byte) (*int, error) {
			if ctx.Value(key{}) != v {
				t.Error("the call does not see the value in its context")
			}
			derived, stop := context.WithCancel(ctx)
			kept = derived
			_ = stop // as the framework does: it is called much later, if at all
			if ctx.Err() != nil {
				t.Error("the context has ended before the call")
			}
			cancel()
			<-derived.Done()
			n := int(*req)
			return &n, ctx.Err()
		})
		if answer == nil || *answer != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("the call gave %v and %v", answer, err)
		}
	}()
	runtime.GC()
	if held.Value() != nil {
		t.Error("the value of a call that is over is still held")
	}
	if kept.Err() == nil || kept.Value(key{}) != nil {
		t.Error("the context of a call that is over has not ended, or has a value")
	}
}
