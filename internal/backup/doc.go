// Package backup is the model: what a backup of a Supabase project consists of
// (Spec), how it is found there (State), and how the two differ (Diff). It reads
// and writes nothing.
//
// An installation consists of the dispatcher and the watchdog in the database,
// an invocation token in the vault and in the function's secrets, the Edge
// Function, and the pg_cron jobs. Each object carries an ownership marker; an
// object without one is adopted only when the configuration says so.
package backup
