// Package schedule gives cron expressions one meaning: the one that a person
// reads in local time, and that every pg_cron from 1.4 to 1.6 keeps.
//
// [Parse] accepts only what all those versions of pg_cron understand alike and
// refuses the rest with the reason and with what to write instead. [LoadZone]
// reads an IANA time zone from the database that is embedded in this package,
// so that the same plan comes out on every machine. [Compile] turns an
// expression in a zone into the one UTC expression of a pg_cron job. [Expr.Next],
// [LongestGap] and [Closest] tell when a schedule is due.
//
// # When a local time is due
//
// pg_cron knows only GMT, and the clocks of most zones change. The rule is the
// high-water mark of the local clock: a local minute is due at the first
// instant at which the clock of the zone has come as far as that minute. So
//
//   - a local time that exists once is due at that time;
//   - a local time that an autumn change repeats is due once, at its first
//     occurrence;
//   - a local time that a spring change skips is due at the first instant after
//     the gap, and several skipped times are due there together, once.
//
// Every local day with a due time therefore has its run, also in zones that
// change by half an hour, at midnight, around Ramadan, or by a whole day.
// Instants are whole minutes of UTC, as pg_cron ticks only there.
//
// The dispatcher in the database follows the same rule with PostgreSQL's own
// time zone database, in the function auto_backup.due_times.
package schedule

//go:generate sh -c "cp \"$(go env GOROOT)/lib/time/zoneinfo.zip\" zoneinfo.zip"
