package provider

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// streamTimeout is how long StopProvider waits for the last events of actions in
// progress. Terraform kills a provider that is still running a few seconds later.
const streamTimeout = 3 * time.Second

// streams counts the event streams of actions in progress. terraform-plugin-go
// drops every event sent after StopProvider has returned, including the last one
// with the action's errors, and Terraform treats a stream without it as a success
// (as of Terraform 1.16.0-rc2).
type streams struct {
	mu    sync.Mutex
	open  int
	ended chan struct{} // closed when open is zero again; nil before the first stream
}

// begin counts a stream. The caller calls end after the last event was sent.
func (s *streams) begin() (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == 0 {
		s.ended = make(chan struct{})
	}
	s.open++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open--; s.open == 0 {
			close(s.ended)
		}
	})
}

// wait returns when no stream is open, or after a timeout or the end of ctx.
func (s *streams) wait(ctx context.Context, timeout time.Duration) {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

func (s server) InvokeAction(ctx context.Context, req *tfprotov6.InvokeActionRequest) (*tfprotov6.InvokeActionServerStream, error) {
	stream, err := s.frameworkServer.InvokeAction(ctx, req)
	if err != nil {
		return nil, err
	}
	end, events := s.streams.begin(), stream.Events
	stream.Events = func(push func(tfprotov6.InvokeActionEvent) bool) {
		defer end()
		events(func(event tfprotov6.InvokeActionEvent) bool {
			switch e := event.Type.(type) {
			case tfprotov6.ProgressInvokeActionEventType:
				event.Type = tfprotov6.ProgressInvokeActionEventType{Message: text.Printable(e.Message)}
			case tfprotov6.CompletedInvokeActionEventType:
				present(e.Diagnostics)
			}
			return push(event)
		})
	}
	return stream, nil
}

// StopProvider cancels every call in progress. It returns when the actions among
// them have sent their last events.
func (s server) StopProvider(ctx context.Context, req *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	resp, err := s.frameworkServer.StopProvider(ctx, req)
	s.streams.wait(ctx, streamTimeout)
	return resp, err
}
