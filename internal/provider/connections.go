package provider

import (
	"context"
	"errors"
	"sync"

	"github.com/aimindset/terraform-provider-aimindset/internal/postgres"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// connections keeps one client for each API and token, and one connection for each
// database. It lives as long as the provider's process, because Terraform may
// configure a process several times, and what a client has learned about rate
// limits must not be lost. Clients and databases close idle connections themselves.
type connections struct {
	mu        sync.Mutex
	clients   map[[2]string]*supabase.Client
	databases map[string]postgres.DB
}

// client returns the client for an API and a token. The other fields of config are
// the same throughout a process.
func (c *connections) client(config supabase.Config) (*supabase.Client, error) {
	key := [2]string{config.BaseURL, config.Token}
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.clients[key]; ok {
		return client, nil
	}
	client, err := supabase.New(config)
	if err != nil {
		return nil, err
	}
	if c.clients == nil {
		c.clients = map[[2]string]*supabase.Client{}
	}
	c.clients[key] = client
	return client, nil
}

// database returns the database at a URL. It connects when it is first used.
func (c *connections) database(url string) (postgres.DB, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if db, ok := c.databases[url]; ok {
		return db, nil
	}
	db, err := postgres.Open(url)
	if err != nil {
		return nil, err
	}
	if c.databases == nil {
		c.databases = map[string]postgres.DB{}
	}
	c.databases[url] = db
	return db, nil
}

// close closes all connections. Calls in progress fail.
func (c *connections) close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, db := range c.databases {
		errs = append(errs, db.Close(ctx))
	}
	for _, client := range c.clients {
		client.Close()
	}
	return errors.Join(errs...)
}
