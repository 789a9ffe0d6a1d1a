// Package backup is the domain: what a backup of a Supabase project consists
// of (Spec), how it is found there (State), how the two differ (Diff), and in
// which order it is installed, proved and removed (Service).
//
// An installation consists of the dispatcher and the watchdog in the database,
// an invocation token in the vault and in the function's secrets, the Edge
// Function, and the pg_cron jobs. Each object carries a stamp; what has none is
// taken over only when the configuration says so.
package backup
