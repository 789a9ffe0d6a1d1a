// Package schedule parses cron expressions in local time and compiles them for
// pg_cron 1.4 to 1.6, which knows only GMT.
//
// [Parse] accepts only what all those versions of pg_cron understand in the same
// way. For anything else its error has the reason and what to write instead.
// [Compile] turns an expression in a zone into the UTC expression of a single pg_cron job.
// [Expr.Next], [Expr.Latest], [LongestGap] and [Closest] say when schedules are
// due.
//
// # When a local time is due
//
// The clocks of most zones change. The rule is the high-water mark of the local
// clock: a local minute is due at the first instant at which the clock of the
// zone has reached that minute. So
//
//   - a local time that exists once is due at that time;
//   - a local time that an autumn change repeats is due once, at its first
//     occurrence;
//   - a local time that a spring change skips is due at the first instant after
//     the gap, and several skipped times are due there together, once.
//
// Every local day with a due time therefore has a run, even in zones that change
// by half an hour, at midnight, around Ramadan, or by a whole day. Instants are
// whole minutes of UTC, because pg_cron starts jobs only then.
//
// The dispatcher in the database follows the same rule with PostgreSQL's own
// time zone database, in the function auto_backup.due_times. Where that database has
// other rules than package zone, [Rules] tells.
package schedule
