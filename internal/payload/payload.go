// Package payload contains what the provider installs in a Supabase project: the Edge
// Function's TypeScript (function/), the dispatcher's SQL (sql/) and the constants
// that Go and TypeScript share (function/contract.json).
//
// It only reads and describes them. Package backup compares them with a project, and
// package install installs them.
package payload

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/aimindset/terraform-provider-aimindset/internal/source"
)

//go:embed function/*.ts function/contract.json function/tokens.json
var functionFiles embed.FS

//go:embed sql/*.sql sql/functions/*.sql
var sqlFiles embed.FS

// Owner is the ownership marker that everything installed carries.
const Owner = "terraform-provider-aimindset"

// TokensFile is the file beside the entry point with the tokens that a function of a
// self-hosted project accepts, by the names of their secrets. Its source is an empty
// JSON object.
const TokensFile = "tokens.json"

// Contract is the part of function/contract.json that Go needs.
type Contract struct {
	FunctionVersion string `json:"function_version"`
	SignatureHeader string `json:"signature_header"`
}

// LoadContract returns the constants shared with the Edge Function.
var LoadContract = sync.OnceValue(func() Contract {
	c := new(Contract)
	return *must(c, json.Unmarshal(must(functionFiles.ReadFile("function/contract.json")), c))
})

// must returns value. An error would be one of the build: the files that are read
// are embedded, and what is written has fixed types.
func must[T any](value T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("payload: the embedded files are broken: %v", err))
	}
	return value
}

// AlertConfig configures how the Edge Function reports a failed backup.
type AlertConfig struct {
	// Function is the slug of the Edge Function that sends the e-mail.
	Function string `json:"function"`
	// Source is the source of the alert that the e-mail names.
	Source string `json:"source"`
}

// FunctionConfig is the configuration of the built-in Edge Function. It is deployed
// beside the code as config.json.
type FunctionConfig struct {
	ManagedBy    string       `json:"managed_by"`
	Backup       string       `json:"backup"`
	Timezone     string       `json:"timezone"`
	TokenSecret  string       `json:"token_secret"`
	RPC          string       `json:"rpc"`
	RPCTimeoutMS int          `json:"rpc_timeout_ms"`
	VerifyTable  *string      `json:"verify_table"`
	Alert        *AlertConfig `json:"alert"`
}

// Function returns the built-in Edge Function with its configuration and the
// codes that it reports. The files' content must not be changed.
func Function(config FunctionConfig) source.Source {
	files := maps.Clone(sharedFiles())
	files["config.json"] = encode(config)
	return source.Source{Files: files}
}

// sharedFiles are the files that the functions of all backups have. They are read once,
// because a plan needs them for each backup.
var sharedFiles = sync.OnceValue(func() map[string][]byte {
	files := map[string][]byte{codesFile: functionCodes()}
	for _, entry := range must(fs.ReadDir(functionFiles, "function")) {
		files[entry.Name()] = must(functionFiles.ReadFile(path.Join("function", entry.Name())))
	}
	return files
})

// encode writes a file of the function as JSON.
func encode(value any) []byte { return append(must(json.MarshalIndent(value, "", "  ")), '\n') }

// Dispatcher is the SQL part of an installation. The scripts are put together when they
// are needed: a plan needs only what tells whether they are installed.
type Dispatcher struct {
	// Version changes with any change of the installed SQL. It consists of the
	// function's version, a plus sign and eight hexadecimal digits.
	Version string
	// Install creates, upgrades or repairs everything in schema auto_backup. It
	// may be run again at any time and keeps the rows.
	Install func() string
	// Lease creates the functions acquire and renew, which guard against two
	// applies at once. It is the first part of Install, and may be run alone.
	Lease func() string
	// Lock makes a script wait for any other one that installs or removes. All
	// scripts here begin with it. A script that locks a table must begin with
	// it too, or it could deadlock with one of them.
	Lock string
	// Remove drops schema auto_backup with everything in it, unless another
	// backup needs it.
	Remove string
	// Functions maps the name of each SQL function to the SHA-256 of its body,
	// which is pg_proc.prosrc.
	Functions map[string]string
	// Trusted are the Functions as a JSON object. An observation calls only these.
	Trusted string
}

// script is the text of a script in parts.
type script []string

func (s script) text() string { return strings.Join(s, "") }

// LoadDispatcher returns the dispatcher's SQL.
var LoadDispatcher = sync.OnceValue(func() Dispatcher {
	read := func(name string) string { return string(must(sqlFiles.ReadFile(path.Join("sql", name)))) }
	d := Dispatcher{Lock: read("lock.sql"), Functions: map[string]string{}}
	d.Remove = d.Lock + read("remove.sql")
	// A function may call one that is created later, so bodies are checked when
	// they run, not when they are created.
	var functions, leaseFunctions []string
	for _, entry := range must(fs.ReadDir(sqlFiles, "sql/functions")) {
		name := strings.TrimSuffix(entry.Name(), ".sql")
		content := must(sqlFiles.ReadFile(path.Join("sql/functions", entry.Name())))
		quote := []byte("$body$")
		begin, end := bytes.Index(content, quote)+len(quote), bytes.LastIndex(content, quote)
		if begin > end {
			panic(fmt.Sprintf("payload: sql/functions/%s.sql has no %s", name, quote))
		}
		d.Functions[name] = source.Digest(content[begin:end])
		text := string(content)
		functions = append(functions, text)
		if name == "acquire" || name == "renew" || name == "catalog" {
			leaseFunctions = append(leaseFunctions, text)
		}
	}
	d.Trusted = string(must(json.Marshal(d.Functions)))
	// Each script builds what it installs in a second schema, makes the installed
	// tables equal to that, and replaces everything else. What is wanted only there is
	// compared and not run again.
	compose := func(tables, functions, wanted, after []string) script {
		var s script
		add := func(text ...string) {
			if len(s) > 0 {
				s = append(s, "\n")
			}
			s = append(s, text...)
		}
		add("set local search_path = pg_catalog, pg_temp;\nset local check_function_bodies = off;\nset local client_min_messages = warning;")
		for _, text := range []string{d.Lock, read("owner.sql"), read("wanted.sql")} {
			add(text)
		}
		for _, table := range tables {
			add(strings.ReplaceAll(table, "auto_backup.", "auto_backup_wanted."))
		}
		add(read("missing_tables.sql"))
		for _, function := range functions {
			const installed = "function auto_backup."
			before, after, _ := strings.Cut(function, installed)
			add(before, "function auto_backup_wanted.", after)
		}
		for _, object := range wanted {
			add(strings.ReplaceAll(object, "auto_backup.", "auto_backup_wanted."))
		}
		add(read("converge.sql"))
		for _, text := range slices.Concat(tables, functions, after) {
			add(text)
		}
		return s
	}
	lease := read("lease.sql")
	d.Lease = sync.OnceValue(func() string {
		return compose([]string{lease}, leaseFunctions, nil, []string{"drop schema auto_backup_wanted cascade;"}).text()
	})
	texts := strings.Replace(read("codes.sql"), "@codes@", string(codeRows()), 1)
	install := compose([]string{lease, read("schema.sql")}, functions, []string{read("indexes.sql"), read("view.sql")},
		[]string{read("replace_view.sql"), texts, read("grants.sql"), read("agent.sql"), read("record.sql")})
	d.Install = sync.OnceValue(install.text)
	d.Version = LoadContract().FunctionVersion + "+" + digest(append(install, d.Remove))[:8]
	return d
})

// digest is the source.Digest of the script's text, which it does not put together.
func digest(s script) string {
	hash := sha256.New()
	w := bufio.NewWriter(hash)
	for _, part := range s {
		_, _ = w.WriteString(part) // a hash takes everything
	}
	_ = w.Flush()
	return hex.EncodeToString(hash.Sum(nil))
}
