package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/action"
	actionschema "github.com/hashicorp/terraform-plugin-framework/action/schema"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

// TestStopWaitsForActions proves over Terraform's own protocol that an action
// which is interrupted ends with its error: the last event reaches Terraform
// although the provider was stopped before it was sent. Without it Terraform
// takes the action for successful, and a before_update trigger goes on.
func TestStopWaitsForActions(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{})
	conn := serveProtocol(t, waitingProvider{waiting})

	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/tfplugin6.Provider/InvokeAction")
	if err != nil {
		t.Fatal(err)
	}
	request := wire(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "test_wait"))
	if err := errors.Join(stream.SendMsg(&request), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	<-waiting
	var none, answer wire
	if err := conn.Invoke(t.Context(), "/tfplugin6.Provider/StopProvider", &none, &answer); err != nil {
		t.Fatal(err)
	}

	var last wire
	for {
		var event wire
		if err := stream.RecvMsg(&event); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		last = event
	}
	completed := last.field(t, 2)
	diagnostic := completed.field(t, 1)
	if got := string(diagnostic.field(t, 2)); got != "interrupted" {
		t.Errorf("the action ended with %q", got)
	}
}

// TestStreamsWait proves that the wait for the last events ends with the last
// stream, and that a stream which never ends does not hold up the stop.
func TestStreamsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testStreamsWait)
}

func testStreamsWait(t *testing.T) {
	var s streams
	s.wait(t.Context(), time.Hour) // nothing was ever open
	first, second := s.begin(), s.begin()
	first()
	first() // a stream ends once
	waited := make(chan struct{})
	go func() { s.wait(t.Context(), time.Hour); close(waited) }()
	synctest.Wait() // until nothing moves any more
	select {
	case <-waited:
		t.Error("the wait ended while a stream was open")
	default:
	}
	second()
	<-waited
	s.begin()
	s.wait(t.Context(), time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.wait(ctx, time.Hour)
}

// serveProtocol serves a provider as this program serves its own, and returns a
// connection that sends and receives messages as bytes.
func serveProtocol(t *testing.T, p provider.Provider) *grpc.ClientConn {
	t.Helper()
	inner, err := NewServer(p)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	plugin := tf6server.GRPCProviderPlugin{Name: "test", GRPCProvider: func() tfprotov6.ProviderServer { return inner }}
	if err := plugin.GRPCServer(nil, server); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "plugin")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(wireCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// wire is a protocol buffer as it is sent. The protocol's own types cannot be
// imported.
type wire []byte

// field returns the first field of a number, which holds bytes, a text or a message.
func (w wire) field(t *testing.T, wanted protowire.Number) wire {
	t.Helper()
	for rest := w; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			break
		}
		rest = rest[n:]
		if number == wanted && kind == protowire.BytesType {
			value, n := protowire.ConsumeBytes(rest)
			if n >= 0 {
				return value
			}
		}
		if n = protowire.ConsumeFieldValue(number, kind, rest); n < 0 {
			break
		}
		rest = rest[n:]
	}
	t.Fatalf("the message %q has no field %d", w, wanted)
	return nil
}

type wireCodec struct{}

func (wireCodec) Name() string { return "proto" }

func (wireCodec) Marshal(v any) ([]byte, error) {
	w, ok := v.(*wire)
	if !ok {
		return nil, fmt.Errorf("%T is not a message", v)
	}
	return *w, nil
}

func (wireCodec) Unmarshal(data []byte, v any) error {
	w, ok := v.(*wire)
	if !ok {
		return fmt.Errorf("%T is not a message", v)
	}
	*w = append(wire(nil), data...)
	return nil
}

// waitingProvider has one action, which waits until it is interrupted. It says
// on the channel that it waits.
type waitingProvider struct{ waiting chan struct{} }

func (waitingProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "test"
}
func (waitingProvider) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}
func (waitingProvider) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {
}
func (waitingProvider) Resources(context.Context) []func() resource.Resource       { return nil }
func (waitingProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }
func (p waitingProvider) Actions(context.Context) []func() action.Action {
	return []func() action.Action{func() action.Action { return waitingAction(p) }}
}

type waitingAction struct{ waiting chan struct{} }

func (waitingAction) Metadata(_ context.Context, _ action.MetadataRequest, resp *action.MetadataResponse) {
	resp.TypeName = "test_wait"
}

func (waitingAction) Schema(_ context.Context, _ action.SchemaRequest, resp *action.SchemaResponse) {
	resp.Schema = actionschema.Schema{}
}

func (a waitingAction) Invoke(ctx context.Context, _ action.InvokeRequest, resp *action.InvokeResponse) {
	close(a.waiting)
	<-ctx.Done()
	// An action that is interrupted has some work left, such as asking where its run is.
	time.Sleep(50 * time.Millisecond)
	resp.Diagnostics.AddError("interrupted", "")
}
