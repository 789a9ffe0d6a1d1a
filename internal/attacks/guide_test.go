package attacks_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// exceptions are the cells that are not attacked.
func exceptions() (list []exception) {
	for _, aim := range []string{readToken, readSecrets} {
		list = append(list, exception{serviceRoleSQL, aim, "Supabase lets this role read the vault. Who has it can sign, as the function can."})
	}
	for _, aim := range []string{exhaust, spoof} {
		list = append(list, exception{scopedToken, aim, "The token reads functions and secrets only; the Management API limits its requests."})
	}
	for _, aim := range []string{forge, suppress, spoof} {
		list = append(list, exception{forgedAPI, aim, "The database makes the backups and sends the alerts, and asks the Management API nothing. Who answers a status in its place can write it too: that is what TLS and `api_url` decide."})
	}
	for _, aim := range []string{suppress, runCode, spoof} {
		list = append(list, exception{forgedServer, aim, "The provider sends no statement to a server that does not prove by SCRAM that it knows the password, and the jobs run in the database itself."})
	}
	for _, attacker := range []string{forgedAPI, forgedServer} {
		list = append(list, exception{attacker, removeKept, "The retention is a job in the database, which asks nobody else. What an apply sets is written over connections as above."})
	}
	for _, aim := range []string{redirect, runCode, readSecrets} {
		list = append(list, exception{brokenClock, aim, "A clock is not an attacker with a will: no address, no role and no secret depends on the time."})
	}
	for _, aim := range aims {
		if aim != double {
			list = append(list, exception{editedState, aim, "Who edits a state can edit the configuration that is applied with it. The state has no secret, and the status does not read it."})
		}
	}
	return list
}

// formerly are the eighteen attacks that succeeded on commit 620957d, by their numbers.
// TestBefore makes each of them there.
var formerly = map[int]string{
	1:  "`anon` forges a success by a row of `system_logs`.",
	2:  "`anon` suppresses an alert by a later row of the same run.",
	3:  "`anon` brings HTML into the administrators' e-mail as the code of a failure.",
	4:  "Any SQL role reads the token in pg_net's queue.",
	5:  "A trigger on pg_net's queue runs code as `postgres`, which reads the vault.",
	6:  "A plain SQL role forges pg_net's response.",
	7:  "A read-only role stops the watchdog with an advisory lock.",
	8:  "A server in between is sent the database's password in clear.",
	9:  "`anon` makes the watchdog read megabytes at each tick.",
	10: "A success dated 2036 silences every failure after it.",
	11: "A read-only role reads the digests of secrets of others.",
	12: "A plan runs the function of a CHECK, and shows what it has read of the vault.",
	13: "`authenticated` makes an old backup pass for the one whose answer was lost.",
	14: "A trigger with names without a schema loses the watchdog's log row.",
	15: "A lock on a log table makes a plan wait.",
	16: "A `null` of the Management API counts as \"there is none\".",
	17: "A malformed database URL is printed with a part of its password.",
	18: "A secret of others that an edited state names is deleted by an apply.",
}

func renderFormerly() string {
	var b strings.Builder
	b.WriteString("\nA number in parentheses is that of an attack that once succeeded, before the first release, and that no longer does. A test makes each of them on what was installed then:\n\n| # | What succeeded |\n|--:|---|\n")
	for _, n := range slices.Sorted(maps.Keys(formerly)) {
		fmt.Fprintf(&b, "| %d | %s |\n", n, formerly[n])
	}
	return b.String()
}

const introduction = `---
page_title: "Security model"
description: |-
  What the backup promises against whom, what it does not promise, and every attack that is tried in its tests.
---

# Security model

A backup whose success can be forged protects nobody. This page says what is promised, on what it rests, and what is tried in the tests to break it.

## What is promised

- Only the Edge Function says how a run ended. Whoever can write the application's logs or pg_net's tables, and many can, changes nothing that the watchdog, the status or an alert says about a run.
- A run that did not succeed is recorded as failed, and alerted once. Whoever prevents a backup or its alert is noticed: by the alert, or by a status that is not healthy.
- Nobody but the owner of the database reads the invocation token, and without it nobody starts a backup.
- The retention, where there is one, removes only backups that the run history knows and that its policy does not keep, each from all its tables or from none, and nothing while anything is wrong.
- A plan and a status tell the truth or fail. They say nothing on the word of a server that cannot prove what it is.

## What is not promised

- Who holds the service role key, or the database's role ` + "`postgres`" + `, can delete the data and its backups. Keep a copy outside the project: see [Restore](restore).
- ` + "`service_role`" + ` may also read the vault over SQL, and with the token sign as the function does. Supabase grants that.
- Who may deploy functions in the project can replace the backup's function, and with it what it signs. The status and the next plan show the change.
- The application's own alert function sends an e-mail for whoever may call it. The anon key is enough if the function does not check more.
- Who prevents a backup is noticed, not stopped: a role that may delete from pg_net's queue can delete a request, and one that answers a request in the function's place before the function does delays the run until the watchdog tries it again.
- pg_net sends the messages to a heartbeat and to webhooks, and every role with SQL can read its queue and write its responses. So such a role can learn the URL of a message that is being sent, which takes seconds unless pg_net's worker stands still, and can claim that a message was delivered. A heartbeat's monitor notices a ping that did not arrive. The messages of a webhook with a ` + "`signing_secret`" + ` can only be read, not forged.
- Who may write the backup tables can forge or change the rows of a backup; AIMindset's row level security leaves them open to everybody. A signature says that the function ran, not that nobody has touched the copies since. Close these tables to all but their owner.
- A retention counts backups and does not compare them. Whoever changes live rows, and is not noticed for longer than the policy keeps backups, has changed them in every backup. Whoever may delete from the backup tables needs no retention for it.
- A restore drill runs the CHECKs, defaults and generated columns of your tables, with the rights of ` + "`auto_backup_agent`" + `. If they call a function of another role, that role decides what the drill says of these tables.
- A trigger of another role on a log table gets the rights of whoever writes there. Of the backup these are the rights of ` + "`auto_backup_agent`" + `, which has none to speak of; but the application's own ` + "`SECURITY DEFINER`" + ` functions write there as ` + "`postgres`" + `. The plan and the status name such triggers (` + "`foreign_trigger`" + `) and other owners of the tables (` + "`log_owner`" + `).

## The chain of trust

1. **The token never travels.** It is in the vault and in the function's secrets. The database signs each request with it: ` + "`X-Backup-Signature`" + ` is HMAC-SHA256 of the exact body, which names the run and the time. The function refuses a request that is older than 15 minutes, and a run that was claimed before.
2. **Outcomes are signed.** What the function writes to the logs and answers has a signature by the same token over everything that the watchdog reads of it. What is not signed is ignored, and reported as ` + "`forged_log`" + `.
3. **The schema ` + "`auto_backup`" + ` is closed.** Only ` + "`postgres`" + ` may write there. The read-only role of a plan may compare digests of the secrets of installed backups, and read no secret.
4. **A role of its own writes outside.** Every write to the logs and to pg_net's queue goes through one function of the role ` + "`auto_backup_agent`" + `, which may not log in, is not a member of any role and may do nothing else. Code that others attach there runs with its rights, and cannot change the role back. A CHECK that needs code of others is not evaluated by a plan, a status or an apply. A restore drill reads as ` + "`postgres`" + ` only tables of roles that it trusts, and everything that a restore would call runs as ` + "`auto_backup_agent`" + ` in temporary tables that are rolled back.
5. **The watchdog takes row locks** in that schema, and no advisory locks, which every role can hold. It reads no large text that others wrote, nothing that is dated after now, and waits five seconds at most for a lock.
6. **Connections need SCRAM** and a server with a valid certificate; see [Connections](connections).

During a rotation, runs that were posted before it are believed with the former token. An own function signs in the same way: see [Your own Edge Function](own-function). In a self-hosted project, ` + "`tokens.json`" + ` beside the function contains the token; only the runtime should be able to read it.

A signature costs little. Making one takes the database about 55 µs and verifying an outcome about 90 µs; the Edge Function needs 70 to 90 µs for either, on both versions of Deno. ` + "`" + `make bench` + "`" + ` in the provider's repository measures it and fails above its limits.

## What to do when ` + "`forged_log`" + ` appears

Somebody, or something, has written a row about a run that the function did not sign. The run itself is judged without it.

1. Look at the rows: ` + "`select id, created_at, type, context from public.system_logs where type like 'auto_backup%' order by id desc`" + `. The rows of the watchdog have ` + "`reported_by: watchdog`" + ` and are not meant.
2. If they are a test or an old tool of yours, delete them.
3. If the function's own rows are not believed, the tokens differ, for example after a restore into another project: apply, or [rotate the token](rotate-keys).
4. Otherwise somebody with a key of the project wrote them. Find out who can write ` + "`system_logs`" + `; the sample application lets everybody, by ` + "`insert_system_log`" + `. Replace the keys if one has leaked.

## Every attack that is tried

A test generates these tables. It makes each of these attacks on a real PostgreSQL, with the function in a real Deno: ` + "`make attacks`" + ` runs them all, also those that take many megabytes, and writes this page. "Held" means that the aim was not reached. For an attack on a run it also means that the run is recorded as failed, that each subscriber got exactly one e-mail, and that the status says so.
`
