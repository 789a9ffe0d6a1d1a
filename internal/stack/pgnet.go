package stack

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// netControl switches pg_net's worker off and on. The server runs the real one, and the
// stack its stand-in.
type netControl interface {
	// stop takes the worker down after the batch that it is sending, until start:
	// requests stay in the queue.
	stop() error
	start(ctx context.Context) error
	// down is called before the server stops and again afterwards. It returns when the
	// worker has finished its batch, or at once when now is closed. up is called when
	// the server runs again; a worker that was stopped stays down.
	down(now <-chan struct{})
	up(ctx context.Context) error
	// close ends what the stack runs of it. Nothing else is called afterwards.
	close()
}

// startNet brings pg_net's worker up. It ends with the context.
func startNet(ctx context.Context, c *cluster, log io.Writer) (netControl, error) {
	if c.files.has("pg_net") {
		return attachNetProcess(ctx, c)
	}
	return startNetWorker(ctx, c, log)
}

// netWorker is a stand-in for pg_net's background worker: it takes requests from
// net.http_request_queue in batches, sends all requests of a batch at the same time, and
// stores the responses, in one transaction. So it sends nothing else while a request of
// the batch is running, no response is visible before the end of the batch, and all have
// the time at which the batch began. It deletes old responses only when it is awake.
//
// It leaves out the pause of a second after each batch of the real worker, and runs in
// this process instead of the server's: cluster.restart tells it of a restart.
type netWorker struct {
	c   *cluster
	end <-chan struct{} // closed: drop everything
	log io.Writer

	mu  sync.Mutex // held while it is started or stopped
	run *netRun    // nil while it is down
}

// netRun is the worker from one start to the next stop.
type netRun struct {
	drain chan struct{}      // closed: end after the batch that is running
	abort context.CancelFunc // end now
	ready chan struct{}      // closed when it listens for the first time
	done  chan struct{}      // closed when it has ended
}

// startNetWorker starts the worker and returns when it is running. It ends with the
// context, without finishing its batch, or by stop, which waits.
func startNetWorker(ctx context.Context, c *cluster, log io.Writer) (*netWorker, error) {
	w := &netWorker{c: c, end: ctx.Done(), log: orDiscard(log)}
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	return w, nil
}

// stop ends the worker after the batch that is running, as a stop of the server
// does. It may be called again.
func (w *netWorker) stop() error {
	w.c.attachNet(nil)
	w.down(nil)
	return nil
}

func (w *netWorker) close() { _ = w.stop() }

// start brings the worker up, if it is down, and waits until it is.
func (w *netWorker) start(ctx context.Context) error {
	if err := w.launch(ctx); err != nil {
		return err
	}
	w.c.attachNet(w)
	return nil
}

// up is start for a worker that is attached, unless it must not start again.
func (w *netWorker) up(ctx context.Context) error {
	if w.ended() {
		return nil
	}
	return w.launch(ctx)
}

func (w *netWorker) launch(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.run != nil {
		return nil
	}
	life, abort := context.WithCancel(context.WithoutCancel(ctx))
	run := &netRun{drain: make(chan struct{}), abort: abort, ready: make(chan struct{}), done: make(chan struct{})}
	go w.loop(life, run)
	go func() {
		select {
		case <-w.end:
			abort()
		case <-run.done:
		}
	}()
	select {
	case <-run.ready:
		w.run = run
		return nil
	case <-run.done:
	case <-ctx.Done():
	}
	abort()
	<-run.done
	return fmt.Errorf("starting pg_net's worker: %w", cmp.Or(ctx.Err(), context.Canceled))
}

// down takes the worker down after its batch, or, when now is closed, at once:
// what it is sending is lost then.
func (w *netWorker) down(now <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.run == nil {
		return
	}
	close(w.run.drain)
	select {
	case <-w.run.done:
	case <-now:
	}
	w.run.abort()
	<-w.run.done
	w.run = nil
}

// ended reports whether the worker must not start again.
func (w *netWorker) ended() bool {
	select {
	case <-w.end:
		return true
	default:
		return false
	}
}

// loop keeps a session until the run ends.
func (w *netWorker) loop(ctx context.Context, run *netRun) {
	defer close(run.done)
	for {
		err := w.session(ctx, run)
		select {
		case <-run.drain:
			return
		case <-ctx.Done():
			return
		default:
		}
		if err == nil {
			continue // net.worker_restart()
		}
		_, _ = fmt.Fprintf(w.log, "pg_net's worker: %v\n", err)
		select {
		case <-run.drain:
			return
		case <-ctx.Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// session works on one connection, until it is told to end, or to restart, or
// the connection fails.
func (w *netWorker) session(ctx context.Context, run *netRun) error {
	config, err := pgx.ParseConfig(w.c.url("supabase_admin"))
	if err != nil {
		return err
	}
	config.RuntimeParams["statement_timeout"] = "0"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	// The real worker reports itself so, when it can be woken. It is a background worker
	// of the kind "pg_net <version> worker", which a connection cannot be.
	if _, err := conn.Exec(ctx, `listen pg_net; set application_name = 'pg_net `+netVersion+`'`); err != nil {
		return err
	}
	select {
	case <-run.ready:
	default:
		close(run.ready)
	}
	client := &netClient{}
	defer client.close()

	waiting, wake := context.WithCancel(ctx)
	defer wake()
	go func() {
		select {
		case <-run.drain:
			wake()
		case <-waiting.Done():
		}
	}()
	for {
		for more := true; more; {
			if more, err = w.batch(ctx, conn, client); err != nil {
				return err
			}
			if waiting.Err() != nil {
				return ctx.Err()
			}
		}
		n, err := conn.WaitForNotification(waiting)
		if waiting.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if n.Payload == "restart" {
			return nil
		}
	}
}

// batch handles one batch, and reports whether there may be more to do.
func (w *netWorker) batch(ctx context.Context, conn *pgx.Conn, client *netClient) (more bool, err error) {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var installed bool
	if err := tx.QueryRow(ctx, `select to_regclass('net.http_request_queue') is not null`).Scan(&installed); err != nil || !installed {
		return false, err
	}
	expired, err := tx.Exec(ctx, `
		delete from net._http_response
		where ctid in (
		  select ctid from net._http_response
		  where created < now() - current_setting('pg_net.ttl')::interval
		  order by created
		  limit current_setting('pg_net.batch_size')::int)`)
	if err != nil {
		return false, err
	}
	requests, err := takeRequests(ctx, tx)
	if err != nil {
		return false, err
	}
	type outcome struct {
		id       int64
		response netResponse
		err      error
	}
	// It ends with the batch: nothing is sent after the batch has failed.
	sending, cancel := context.WithCancel(ctx)
	outcomes := make(chan outcome)
	var sent sync.WaitGroup
	defer func() {
		cancel()
		sent.Wait()
	}()
	for _, r := range requests {
		sent.Go(func() {
			response, err := client.do(sending, r)
			select {
			case outcomes <- outcome{r.id, response, err}:
			case <-sending.Done():
			}
		})
	}
	for range requests {
		select {
		case o := <-outcomes:
			if o.err != nil {
				return false, o.err
			}
			if err := storeResponse(ctx, tx, o.id, o.response); err != nil {
				return false, err
			}
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return false, err
	}
	return len(requests) > 0 || expired.RowsAffected() > 0, nil
}

// takeRequests takes a batch out of the queue. Until the batch ends, others
// still see it there.
func takeRequests(ctx context.Context, tx pgx.Tx) ([]netRequest, error) {
	rows, err := tx.Query(ctx, `
		with taken as (
		  delete from net.http_request_queue
		  where id in (
		    select id from net.http_request_queue
		    order by id
		    limit current_setting('pg_net.batch_size')::int)
		  returning *)
		select id, method::text, url,
		  array(select key || ': ' || value from jsonb_each_text(headers) where value is not null),
		  body, timeout_milliseconds
		from taken
		order by id`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (netRequest, error) {
		var r netRequest
		var body []byte
		err := row.Scan(&r.id, &r.method, &r.url, &r.headers, &body, &r.timeout)
		if body != nil {
			s := string(body)
			r.body = &s
		}
		return r, err
	})
}

func storeResponse(ctx context.Context, tx pgx.Tx, id int64, r netResponse) error {
	var headers *string
	if r.headers != nil {
		encoded, err := json.Marshal(r.headers)
		if err != nil {
			return err
		}
		s := string(encoded)
		headers = &s
	}
	_, err := tx.Exec(ctx, `
		insert into net._http_response (id, status_code, content_type, headers, content, timed_out, error_msg)
		values ($1, $2, $3, $4::jsonb, $5, $6, $7)`,
		id, r.status, r.contentType, headers, r.content, r.timedOut, r.errorMsg)
	return err
}

// attachNet makes the worker restart with the cluster.
func (c *cluster) attachNet(w netControl) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.net = w
}
