package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// netProcess switches the real worker of pg_net. The server starts it again a second
// after it has ended, and pg_net 0.20.4 crashes the server if the worker then fails to
// connect. So a worker that is to stay down is held back while it connects: to a
// database of its own, which a transaction has locked. There it is in none of the
// server's views, as if it were not running.
type netProcess struct {
	c   *cluster
	end <-chan struct{} // closed: nothing has to be up any more

	mu sync.Mutex
	// lock is the connection with the transaction; nil while the worker runs.
	lock *pgx.Conn
	// downErr is the error of down, which up returns.
	downErr error
}

// netNowhere is the database to which a worker connects that is held back.
const netNowhere = "pg_net_nowhere"

// attachNetProcess returns when the worker runs.
func attachNetProcess(ctx context.Context, c *cluster) (*netProcess, error) {
	n := &netProcess{c: c, end: ctx.Done()}
	if err := n.up(ctx); err != nil {
		return nil, err
	}
	c.attachNet(n)
	return n, nil
}

// stop implements netControl.
func (n *netProcess) stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lock != nil {
		return nil
	}
	// No context: it waits for the worker's batch, as long as that takes.
	if err := n.holdBack(context.Background()); err != nil {
		return fmt.Errorf("stopping pg_net's worker: %w", err)
	}
	return nil
}

// start implements netControl.
func (n *netProcess) start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lock == nil {
		return nil
	}
	if err := n.letGo(ctx); err != nil {
		return fmt.Errorf("starting pg_net's worker: %w", err)
	}
	return nil
}

// down implements netControl: the server waits for the worker by itself. If the worker
// is stopped, the next one must not come to the project's database either.
func (n *netProcess) down(<-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lock == nil {
		return
	}
	settings, err := os.OpenFile(filepath.Join(n.c.data(), "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprintf(settings, "pg_net.database_name = '%s'\n", netNowhere)
		err = errors.Join(err, settings.Close())
	}
	n.downErr = err
}

// up implements netControl.
func (n *netProcess) up(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.end:
		return nil
	default:
	}
	if n.lock != nil {
		_ = n.lock.Close(ctx) // it ended with the server
		n.lock = nil
		return errors.Join(n.downErr, n.holdBack(ctx))
	}
	return n.withAdmin(ctx, func(admin *pgx.Conn) error {
		return n.watch(ctx, admin, func(w netSeen, _ int) (end bool, ask string, err error) { return w.named, "", nil })
	})
}

// close implements netControl.
func (n *netProcess) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.c.attachNet(nil)
	if n.lock != nil {
		_ = n.lock.Close(context.Background())
		n.lock = nil
	}
}

func (n *netProcess) withAdmin(ctx context.Context, do func(*pgx.Conn) error) error {
	admin, err := pgx.Connect(ctx, n.c.url("supabase_admin"))
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(context.WithoutCancel(ctx)) }()
	return do(admin)
}

// holdBack takes the worker down and keeps it there. The caller holds mu.
func (n *netProcess) holdBack(ctx context.Context) error {
	return n.withAdmin(ctx, func(admin *pgx.Conn) error {
		if err := ignoring(ctx, "42P04", admin, `create database `+netNowhere); err != nil {
			return err
		}
		// The server reads its settings before it starts another worker. One that can be
		// seen may still have the old ones.
		for _, statement := range []string{`alter system set pg_net.database_name = '` + netNowhere + `'`, `select pg_reload_conf()`} {
			if _, err := admin.Exec(ctx, statement); err != nil {
				return err
			}
		}
		var err error
		if n.lock, err = pgx.Connect(ctx, n.c.url("supabase_admin")); err != nil {
			return err
		}
		err = n.watch(ctx, admin, func(w netSeen, asked int) (end bool, ask string, err error) {
			switch {
			case w.held && w.pid == 0:
				return true, "", nil
			case w.pid != 0 && w.pid != asked && w.restarts:
				// Unlike a signal, it never interrupts a batch.
				return false, `select net.worker_restart()`, nil
			case w.pid != 0 && w.pid != asked:
				return false, fmt.Sprintf(`select pg_terminate_backend(%d)`, w.pid), nil
			case w.pid == 0 && n.lock.PgConn().TxStatus() == 'I':
				// It fails if a worker was faster.
				err := ignoring(ctx, "55006", n.lock, `begin; alter database `+netNowhere+` rename to `+netNowhere+`_locked`)
				if err == nil && n.lock.PgConn().TxStatus() == 'E' {
					_, err = n.lock.Exec(ctx, `rollback`)
				}
				return false, "", err
			}
			return false, "", nil
		})
		if err == nil {
			// The worker that is held back keeps the setting. Nobody else is to see it.
			err = n.toProject(ctx, admin)
		}
		if err != nil {
			_ = n.lock.Close(context.WithoutCancel(ctx))
			n.lock = nil
		}
		return err
	})
}

// letGo lets the worker run again. The caller holds mu.
func (n *netProcess) letGo(ctx context.Context) error {
	return n.withAdmin(ctx, func(admin *pgx.Conn) error {
		if err := n.toProject(ctx, admin); err != nil {
			return err
		}
		_ = n.lock.Close(ctx)
		n.lock = nil
		// The one that was held back comes to nowhere first.
		if err := n.watch(ctx, admin, func(w netSeen, asked int) (end bool, ask string, err error) {
			if w.database == netNowhere && w.pid != asked {
				return false, fmt.Sprintf(`select pg_terminate_backend(%d)`, w.pid), nil
			}
			return w.database == "postgres" && w.named, "", nil
		}); err != nil {
			return err
		}
		_, err := admin.Exec(ctx, `drop database if exists `+netNowhere)
		return err
	})
}

// toProject makes the next worker connect to the project's database.
func (n *netProcess) toProject(ctx context.Context, admin *pgx.Conn) error {
	for _, statement := range []string{`alter system reset pg_net.database_name`, `select pg_reload_conf()`} {
		if _, err := admin.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// netSeen is what can be seen of the worker.
type netSeen struct {
	pid      int    // 0 if there is none
	database string // where it is
	named    bool   // it has said its name, so it works
	held     bool   // one waits for the lock
	restarts bool   // there is net.worker_restart()
}

// watch looks at the worker until step says that it is the end. It carries out each
// statement that step asks for, by which one worker, the asked one, is to end.
func (n *netProcess) watch(ctx context.Context, admin *pgx.Conn, step func(w netSeen, asked int) (end bool, ask string, err error)) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	asked := 0
	for {
		var w netSeen
		if err := admin.QueryRow(ctx, `
			select coalesce(max(pid), 0), coalesce(max(datname), ''), coalesce(bool_or(application_name <> ''), false),
			  exists (
			    select from pg_locks where not granted and classid = 'pg_database'::regclass
			    and objid = (select oid from pg_database where datname = $1)),
			  to_regprocedure('net.worker_restart()') is not null
			from pg_stat_activity where backend_type like 'pg\_net % worker'`,
			netNowhere).Scan(&w.pid, &w.database, &w.named, &w.held, &w.restarts); err != nil {
			return err
		}
		end, ask, err := step(w, asked)
		if end || err != nil {
			return err
		}
		if ask != "" {
			asked = w.pid
			if _, err := admin.Exec(ctx, ask); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ignoring executes a statement and ignores an error of one SQLSTATE.
func ignoring(ctx context.Context, state string, conn *pgx.Conn, statement string) error {
	_, err := conn.Exec(ctx, statement)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == state {
		return nil
	}
	return err
}
