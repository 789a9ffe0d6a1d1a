// Package identity tells one database from all others, over either transport.
package identity

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
)

//go:embed identity.sql
var query string

// Database is the identity of a database. Two of them are of the same database if
// they are Equal.
type Database struct {
	// System is the system identifier of the database cluster, in decimal. A
	// physical copy has the same one. It is empty if the role may not read it.
	System string
	// Started is when the server was started, to the microsecond. It differs
	// between a server and its copies.
	Started time.Time
	// Name is the database's name.
	Name string `json:"database"`
}

// Of asks a database for its identity. It is one statement, which only reads.
func Of(ctx context.Context, db postgres.DB) (Database, error) {
	var found Database
	answer, err := db.Query(ctx, postgres.ReadOnly, query)
	if err != nil {
		return found, fmt.Errorf("read the identity of the database: %w", err)
	}
	if err := json.Unmarshal(answer, &found); err != nil || found.Started.IsZero() || found.Name == "" {
		return Database{}, errors.New("read the identity of the database: the response has an unexpected form")
	}
	return found, nil
}

// Equal reports whether two identities are those of one database. The system
// identifier counts if both sides could read it.
func (d Database) Equal(other Database) bool {
	return d.Started.Equal(other.Started) && d.Name == other.Name && !d.otherSystem(other)
}

// MayHaveRestarted reports whether all that differs is when the server was started:
// it may have been restarted between two readings, or one is a copy or a standby of
// the other.
func (d Database) MayHaveRestarted(other Database) bool {
	return !d.Started.Equal(other.Started) && d.Name == other.Name && !d.otherSystem(other)
}

func (d Database) otherSystem(other Database) bool {
	return d.System != "" && other.System != "" && d.System != other.System
}

// String returns the identity in words.
func (d Database) String() string {
	system := "a system identifier that its role may not read"
	if d.System != "" {
		system = "system identifier " + d.System
	}
	return fmt.Sprintf("database %q, %s, started %s", d.Name, system, d.Started.UTC().Format(time.RFC3339Nano))
}
