package failures_test

const introduction = `---
page_title: "Failures and what to do"
description: |-
  Every known way in which a backup can fail: what it leaves behind, who is alerted, and what to do.
---

# Failures and what to do

No failed backup looks like a success, and none goes unnoticed. A test generates this table: it creates each of these causes on a real PostgreSQL with pg_cron, with the function in a real Deno. ` + "`make failures`" + ` runs the test and prints the table.

In each row the cause persists until you do what the last column says, unless the row says otherwise, and there is one retry, which is the default. After that the next backup succeeds and ends the incident, without another e-mail.

If you know the code of a failure but not its cause, see [What to do about a failed backup](last-night#what-to-do-about-a-failed-backup).

- **Runs**: what ` + "`auto_backup.runs`" + ` contains for the due time: what started the run, its state and its code. ` + "`select * from auto_backup.history order by requested_at desc`" + ` explains them, with the reason.
- **Log rows**: the rows about the automatic backup in the application's tables, which are the only ones that the admin panel shows.
- **Alert**: the alerts that reached every subscriber. There is at most one for each incident, and all attempts at one due time are one incident. The function sends the alert; if it cannot, the watchdog tries up to three times. An alert that did not reach every subscriber is recorded as not delivered in ` + "`auto_backup.incidents`" + `, with the reason.
- **Status**: what the data source ` + "`aimindset_auto_backup_status`" + ` shows while the cause persists, with a read-only token and role: its ` + "`state`" + `, and the codes of its ` + "`problems`" + `. If nothing is left to do, it is ` + "`healthy`" + `.

`

const portuguese = `
Em português: [Falhas: o que fazer](falhas)
`
