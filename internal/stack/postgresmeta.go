package stack

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5" //nolint:gosec // the key derivation of OpenSSL, which the service's library uses
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// MetaVersion is the version of postgres-meta that meta/package.json pins.
const MetaVersion = "0.99.0"

// sqlService is the real service behind POST database/query, postgres-meta. All stacks
// of this process share it, because it takes a second to start, and each request says
// which database it is for. It ends with this process, however that ends, because it
// reads a pipe that ends then.
var sqlService postgresMeta

// postgresMeta is a service that is started by its first request, and again by the next
// one after it has ended.
type postgresMeta struct {
	mu      sync.Mutex
	running *metaProcess // nil before the first start
}

// metaProcess is one start of the service.
type metaProcess struct {
	url string
	pid int
	// key is what connection strings are encrypted with.
	key   string
	input io.WriteCloser // ends the service when it is closed
	ended chan struct{}
}

// findMeta returns the program of the service, and an error that wraps ErrNotInstalled
// if it is not complete.
func findMeta(dir string) (program string, err error) {
	var found struct{ Version string }
	err = readJSONFile(filepath.Join(dir, "node_modules", "@supabase", "postgres-meta", "package.json"), &found)
	if err != nil || found.Version != MetaVersion {
		return "", fmt.Errorf("no postgres-meta %s in %s (by npm): %w: run %q", MetaVersion, dir, ErrNotInstalled, installCommand)
	}
	return filepath.Join(dir, "main.mjs"), nil
}

// metaDir is the directory of the service's package.json.
func metaDir() string { return filepath.Join(filepath.Dir(denoDir()), "meta") }

// InstallMeta installs postgres-meta from npm unless it is installed, and writes to log
// which version there is.
func InstallMeta(ctx context.Context, log io.Writer) error {
	dir := metaDir()
	if _, err := findMeta(dir); err != nil {
		_, _ = fmt.Fprintln(log, "installing postgres-meta by npm ci")
		if err := npmInstall(ctx, dir); err != nil {
			return fmt.Errorf("installing postgres-meta: %w", err)
		}
		if _, err := findMeta(dir); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(log, "SQL API    the real postgres-meta %s\n", MetaVersion)
	return nil
}

// query runs SQL in a database and returns the rows as a JSON array. It ends when the
// service does, which gives up after 55 seconds.
func (m *postgresMeta) query(ctx context.Context, databaseURL string, body queryBody) (json.RawMessage, error) {
	encoded, err := json.Marshal(struct {
		Query      string `json:"query"`
		Parameters []any  `json:"parameters,omitempty"`
	}{body.Query, body.Parameters})
	if err != nil {
		return nil, err
	}
	p, err := m.start(ctx)
	if err != nil {
		return nil, err
	}
	connection, err := encryptConnection(p.key, databaseURL)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/query", bytes.NewReader(encoded))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Connection-Encrypted", connection)
	// No idle connection is left behind: tests count what a provider leaves.
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return answer, nil
	}
	var failure struct{ Error, Message string }
	if err := json.Unmarshal(answer, &failure); err != nil {
		return nil, fmt.Errorf("postgres-meta: HTTP %d: %w", response.StatusCode, err)
	}
	status := response.StatusCode
	if status == http.StatusGatewayTimeout {
		status = statusUpstream
	}
	return nil, apiErrorf(status, "Failed to run sql query: %s", cmp.Or(failure.Error, failure.Message))
}

// statusUpstream is the Management API's status for a service that could not reach the
// database in time.
const statusUpstream = 544

// start returns the running service, or starts it.
func (m *postgresMeta) start(ctx context.Context) (*metaProcess, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running != nil {
		select {
		case <-m.running.ended:
		default:
			return m.running, nil
		}
	}
	program, err := findMeta(metaDir())
	if err != nil {
		return nil, err
	}
	p, err := startMeta(ctx, program)
	if err != nil {
		return nil, fmt.Errorf("starting postgres-meta: %w", err)
	}
	m.running = p
	return p, nil
}

// startMeta starts the service, and returns when it accepts requests.
func startMeta(ctx context.Context, program string) (*metaProcess, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	p := &metaProcess{key: rand.Text(), ended: make(chan struct{})}
	cmd := exec.Command(node, program) //nolint:noctx // it serves later requests, too
	cmd.Dir = filepath.Dir(program)
	// Nothing of this process's environment. Without the header of a connection, a
	// request reaches no database.
	cmd.Env = []string{"CRYPTO_KEY=" + p.key, "PG_META_DB_URL=postgresql://127.0.0.1:9/none", "NODE_ENV=production"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // this process decides what ends it
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if p.input, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	ports := make(chan string, 1)
	go func() {
		defer close(p.ended)
		lines := bufio.NewScanner(output)
		for lines.Scan() {
			select {
			case ports <- lines.Text():
			default:
			}
		}
		_ = cmd.Wait()
	}()
	select {
	case text := <-ports:
		port, err := strconv.Atoi(text)
		if err != nil {
			err = errors.Join(fmt.Errorf("it did not print its port but %q", text), p.close())
			return nil, err
		}
		p.url = fmt.Sprintf("http://127.0.0.1:%d", port)
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("it ended at once: %s", strings.TrimSpace(complaint.String()))
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), p.close())
	}
}

// close ends the service and waits until it has ended.
func (p *metaProcess) close() error {
	err := p.input.Close()
	<-p.ended
	return err
}

// encryptConnection encrypts a connection string as crypto-js does with a passphrase:
// AES-256 in CBC mode, with a key and an initialization vector that OpenSSL's
// EVP_BytesToKey derives by MD5 from the passphrase and a salt.
func encryptConnection(passphrase, text string) (string, error) {
	salt := make([]byte, 8)
	_, _ = rand.Read(salt) // never fails
	const keyLength = 32
	var derived, block []byte
	for len(derived) < keyLength+aes.BlockSize {
		sum := md5.Sum(append(append(block, passphrase...), salt...)) //nolint:gosec // see above
		block = sum[:]
		derived = append(derived, block...)
	}
	encryption, err := aes.NewCipher(derived[:keyLength])
	if err != nil {
		return "", err
	}
	padding := aes.BlockSize - len(text)%aes.BlockSize
	data := append([]byte(text), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(encryption, derived[keyLength:keyLength+aes.BlockSize]).CryptBlocks(data, data)
	return base64.StdEncoding.EncodeToString(append(append([]byte("Salted__"), salt...), data...)), nil
}
