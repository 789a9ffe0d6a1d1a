// Package stack runs a Supabase project of the AIMindset application on this
// machine, for tests and for the demo: real PostgreSQL with the real pg_cron, real Deno,
// the real service that runs SQL for the Management API, and stand-ins for what is not
// available as a package: pg_net and vault, unless they are installed, PostgREST, the
// functions gateway, the rest of the Management API and Resend. Everything listens on
// free loopback ports, works in one temporary directory, and is removed when the stack
// is closed or the process ends. An S3 server for the off-site copy starts with a stack
// or alone.
//
// A comment on each stand-in says what it replaces and what it leaves out.
package stack
