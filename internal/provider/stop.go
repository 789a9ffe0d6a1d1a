package provider

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/aimindset/terraform-provider-aimindset/internal/text"
)

// streamPatience is how long a provider that is stopped waits for the last
// event of an action under way. Terraform kills a provider that has not gone
// some seconds after it was told to.
const streamPatience = 3 * time.Second

// streams counts the event streams of actions under way. terraform-plugin-go
// drops every event that comes after StopProvider has returned, the last one
// with the action's errors included, and Terraform takes a stream without it
// for a success (run with Terraform 1.16.0-rc2).
type streams struct {
	mu    sync.Mutex
	open  int
	ended chan struct{} // closed when open is zero again; nil before the first
}

// begin counts a stream in. The caller counts it out when its last event is sent.
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

// wait returns when no stream is open, or at the latest when patience or ctx is over.
func (s *streams) wait(ctx context.Context, patience time.Duration) {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
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

// StopProvider cancels every call under way. It returns when the actions among
// them have said how they ended.
func (s server) StopProvider(ctx context.Context, req *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	resp, err := s.frameworkServer.StopProvider(ctx, req)
	s.streams.wait(ctx, streamPatience)
	return resp, err
}
