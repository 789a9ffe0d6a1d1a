// Package stack runs a Supabase project of the AIMindset application on this
// machine, for tests and for the demo: real PostgreSQL with the real pg_cron,
// real Deno, and stand-ins for what cannot be had as a package: pg_net, vault,
// PostgREST, the functions gateway, the Management API and Resend. Everything
// listens on loopback, on free ports, works in one temporary directory, and is
// gone when the stack is closed or the process ends.
//
// Each stand-in says in one comment what it stands for and what it leaves out.
package stack
