package stack

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// supervisor makes sure that nothing of a stack outlives the process that
// started it, even when that process is killed and cannot clean up. It is a
// shell in a session of its own which reads, on a pipe, which processes are
// alive. The pipe ends when the process which holds its other end ends, however
// that comes about; then the shell stops what is left and removes the directory.
//
// A parent death signal would not do: it follows the thread which started the
// child, it would have to be a signal after which PostgreSQL still cleans up its
// shared memory, and nobody would remove the directory.
type supervisor struct {
	dir string
	// server is where the database's server has its files: dir, or one in memory.
	server string
	pipe   *os.File
	shell  *exec.Cmd
}

// supervisorScript reads lines "+ <pid> <signal>" and "- <pid>". A pid with a
// minus sign is a process group.
const supervisorScript = `
trap '' HUP INT QUIT TERM
alive() {
  kill -0 "$1" 2>/dev/null || return 1
  pid=${1#-}
  if [ -r "/proc/$pid/stat" ] && read -r stat < "/proc/$pid/stat"; then
    case $stat in *') Z '*) return 1 ;; esac
  fi 2>/dev/null
  return 0
}
list=
while read -r op pid signal; do
  case $op in
  +) list="$list $pid=$signal" ;;
  -) kept=
     for entry in $list; do
       [ "${entry%=*}" = "$pid" ] || kept="$kept $entry"
     done
     list=$kept ;;
  esac
done
for entry in $list; do
  kill -s "${entry#*=}" -- "${entry%=*}" 2>/dev/null
done
for entry in $list; do
  rounds=0
  while alive "${entry%=*}" && [ "$rounds" -lt 200 ]; do
    sleep 0.05
    rounds=$((rounds + 1))
  done
  kill -s KILL -- "${entry%=*}" 2>/dev/null
done
rm -rf -- "$@" || { sleep 0.5; rm -rf -- "$@"; }
`

// newSupervisor starts a supervisor which removes dir, and the directory of the server if
// it is another one, when this process ends, or when the supervisor is closed.
func newSupervisor(dir, server string) (*supervisor, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	sh := exec.Command("/bin/sh", "-c", supervisorScript, "stack-supervisor", dir, server) //nolint:noctx // it is there for the time after
	sh.Dir = "/"
	sh.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}
	sh.Stdin = r
	sh.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := sh.Start(); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	return &supervisor{dir: dir, server: server, pipe: w, shell: sh}, nil
}

// start starts cmd, in a session of its own, so that it ends with this process:
// by signal `on` when this process is gone. With group, the signal goes to the
// whole process group, which cmd leads.
//
// The command announces itself to the supervisor before it becomes what it is
// to be, and holds the pipe open until then: there is no moment in which it
// runs and is not known.
func (s *supervisor) start(cmd *exec.Cmd, on string, group bool) (*process, error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	// The shell would be started without an error.
	if _, err := exec.LookPath(cmd.Path); err != nil {
		return nil, err
	}
	sign := ""
	if group {
		sign = "-"
	}
	fd := 3 + len(cmd.ExtraFiles)
	script := fmt.Sprintf(`echo "+ %s$$ %s" >&%d && exec "$@" %d>&-`, sign, on, fd, fd)
	args := append([]string{cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.Args = append([]string{"sh", "-c", script, "sh"}, args...)
	cmd.ExtraFiles = append(cmd.ExtraFiles, s.pipe)
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		_, _ = fmt.Fprintf(s.pipe, "- %s%d\n", sign, cmd.Process.Pid)
		close(p.done)
	}()
	return p, nil
}

// close lets the supervisor stop what is still running and remove the
// directory, and returns when it has.
func (s *supervisor) close() error {
	err := s.pipe.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	if waitErr := s.shell.Wait(); waitErr != nil {
		return fmt.Errorf("removing %s: %w", s.dir, waitErr)
	}
	return err
}

// process is a child which the supervisor knows.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended, once done is closed
}

// signal sends a signal to the process and ignores that it has ended.
func (p *process) signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// orDiscard returns w, or a writer that drops everything when w is nil.
func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
