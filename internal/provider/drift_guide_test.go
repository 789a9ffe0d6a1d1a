package provider_test

import (
	"fmt"
	"strings"
)

const driftIntroduction = `---
page_title: "Drift: what a plan sees and an apply repairs"
description: |-
  What a plan shows if a part of the backup was changed outside Terraform, what an apply does about it, and what does not count as drift.
---

# Drift: what a plan sees and an apply repairs

Drift is a part of the backup in the project that was changed outside Terraform: in the dashboard, with SQL, with another tool, by a clone or a restore. A plan reads everything that an apply has created, and the attribute ` + "`drift`" + ` lists what differs from what was applied: by object, what was found and what is wanted. It is empty if nothing differs. A plan writes nothing, so a read-only token and database role are sufficient.

An apply repairs all of it in place: nothing is replaced, the run history is kept except for rows of a table that lost a required column, and the backup runs at every due time in between. Afterwards the plan is empty. To detect drift without changing anything, for example in CI:

` + "```shell" + `
terraform plan -detailed-exitcode   # 0: no drift, 2: drift, 1: the project could not be read
` + "```" + `

A test generates these tables: it makes each of these changes to a real PostgreSQL with pg_cron, and to functions and secrets on the local stack. ` + "`make drift-matrix`" + ` runs the test and prints the tables. Each row verifies that the plan says exactly this, that the apply is an update in place, that the plan after it is empty, and that the installation is the same as before, by a dump of its schema and by what the platform lists. A selection runs over both transports, the Management API and a connection.

## What the plan shows

In this example the backup has the schedule ` + "`nightly`" + `, the secret ` + "`OTHER_KEY`" + `, off-site copies at a destination ` + "`aws`" + `, a heartbeat, and a webhook ` + "`ops`" + `.

`

// renderDrift returns the guide.
func renderDrift(rows []drift, calm []steady, wrong map[string][]string) string {
	var b strings.Builder
	b.WriteString(driftIntroduction)
	mark := func(row string) string {
		if len(wrong[row]) > 0 {
			return "**Does not hold:** "
		}
		return ""
	}
	b.WriteString("| # | Object | Change | The plan says | Apply |\n|--:|---|---|---|---|\n")
	for i, d := range rows {
		apply := "repairs it in place"
		if d.refused != "" {
			apply = "is refused; a superuser must run `" + d.statement + "`"
		}
		var sentences []string
		for _, said := range d.says() {
			sentences = append(sentences, "**"+said.object+"** "+strings.ReplaceAll(said.text, "|", "\\|"))
		}
		if more := len(sentences) - 4; more > 1 {
			sentences = append(sentences[:4], fmt.Sprintf("and %d more that come from it", more))
		}
		fmt.Fprintf(&b, "| %d | %s | %s%s | %s | %s |\n", i+1, d.object, mark(d.String()), d.mutation, strings.Join(sentences, "; "), apply)
	}
	b.WriteString(driftNone)
	b.WriteString("| # | What happened | The plan |\n|--:|---|---|\n")
	for i, s := range calm {
		fmt.Fprintf(&b, "| %d | %s%s | is empty |\n", i+1, mark(s.what), s.what)
	}
	b.WriteString(driftEnd)
	return b.String()
}

const driftNone = `
If postgres may not repair something, the apply is refused with the exact statement and the role that must run it; the next apply still repairs everything else. On Supabase only its support is a superuser. Up to PostgreSQL 15, postgres can take back what belongs to any role but a superuser; since PostgreSQL 16 only what belongs to a role that postgres itself has created.

A job whose role no longer exists stops all of pg_cron. An apply removes such a job if it belongs to the backup; about any other one the plan warns, with the statement to run.

A database that was cloned, branched or restored from another project has that project's URLs in its settings row, its alert key, and a token that this project's vault may not be able to decrypt. The plan warns about it: until the apply, its jobs call the other project. The apply gives the backup a token, a key and an identity of its own, and leaves the other project as it is. If the state does not know the backup, [import it](import-and-move). A clone that has the vault's key also has the [heartbeat and the webhooks](notifications#a-clone-of-the-project) of the original.

## What does not count as drift

After each of these changes the plan is empty.

`

const driftEnd = `
One change is never detected, because only the platform could: a change of the Edge Function's code without a deployment. Whether the alert key is one of the project's is seen only with a token that may read API keys.
`
