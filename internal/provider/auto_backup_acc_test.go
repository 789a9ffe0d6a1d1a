package provider_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
	"github.com/aimindset/terraform-provider-aimindset/internal/supabase"
)

// nightly is a backup whose job names do not meet AIMindset's own jobs.
const nightly = `schedules = { nightly = { cron = "0 3 * * *" } }`

func empty() resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{nothing{}}}
}

func action(a plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{wants(a)},
		PostApplyPostRefresh: []plancheck.PlanCheck{nothing{}},
	}
}

// TestLifecycle proves the main job: an apply installs a backup that really
// runs when its job's command runs, the next plan is empty, a change is
// applied in place, an import ends in an empty plan, and destroy leaves the
// project as it was, but for the log's rows and the backups.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{LegacyJobs: true}, func(t *testing.T, p *project) {
		jobs := p.value("select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j")
		routines := "select md5(string_agg(pg_get_functiondef(p.oid), '' order by p.oid)) from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prokind = 'f'"
		application := p.value(routines)
		resource.UnitTest(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{
					Config:           p.config(nightly),
					ConfigPlanChecks: action(plancheck.ResourceActionCreate),
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownValue(address, tfjsonpath.New("id"), knownvalue.StringExact(p.ProjectRef+"/auto-backup")),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("function_url"), knownvalue.StringExact(p.ProjectURL+"/functions/v1/auto-backup")),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("cron_utc").AtMapKey("nightly"), knownvalue.StringExact("0 6 * * *")),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("drift"), knownvalue.MapSizeExact(0)),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("verified"), knownvalue.StringExact("probe")),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("alert").AtMapKey("overdue_after"), knownvalue.StringExact("26h")),
					},
				},
				{
					PreConfig: func() {
						p.tick("nightly", 0)
						p.await("1", "select count(*) from public.system_logs where type = 'auto_backup'")
						if rows := p.value("select count(*) from public.backup_articles a inner join public.system_logs s on s.context ->> 'backup_id' = a.backup_id::text where s.type = 'auto_backup'"); rows != "1000" {
							p.t.Errorf("the backup holds %s articles", rows)
						}
						// The function finishes this row last.
						p.await("true Backup automático ID:", "select string_agg(success::text || ' ' || left(details, 21), ';') from public.backup_logs where action_type = 'auto_backup'")
					},
					Config:           p.config(nightly),
					ConfigPlanChecks: empty(),
				},
				{
					Config: p.config(`
						timezone  = "UTC"
						schedules = { evening = { cron = "30 21 * * 1-5" }, hourly = { cron = "@hourly", enabled = false, timezone = "Asia/Kolkata" } }
						retry     = { attempts = 2, delay = "15m" }
						alert     = { source = "Backup da noite" }
						verify    = "backup"`),
					ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
					ConfigStateChecks: []statecheck.StateCheck{
						statecheck.ExpectKnownValue(address, tfjsonpath.New("cron_utc"), knownvalue.MapSizeExact(3)),
						statecheck.ExpectKnownValue(address, tfjsonpath.New("verified"), knownvalue.StringExact("backup")),
					},
				},
				{
					ResourceName: address, ImportState: true, ImportStateVerify: true,
					// What a project cannot know: how an apply is verified and was, and which timeouts apply.
					ImportStateVerifyIgnore: []string{"verify", "verified", "timeouts"},
				},
				{
					PreConfig: func() {
						if got := p.value("select string_agg(jobname || ' ' || active, ',' order by jobname) from cron.job where jobname like 'auto-backup-%'"); got !=
							"auto-backup-daily true,auto-backup-drill true,auto-backup-evening true,auto-backup-hourly false,auto-backup-secondary true,auto-backup-watchdog true" {
							p.t.Errorf("the jobs are %s", got)
						}
						if got := p.value("select count(*) from public.system_logs where type = 'auto_backup'"); got != "2" {
							p.t.Errorf("verify = \"backup\" left %s successes, not one more", got)
						}
					},
					Config:  p.config(`schedules = { evening = { cron = "30 21 * * 1-5" } }`),
					Destroy: true,
				},
			},
			CheckDestroy: func(*terraform.State) error {
				if got := p.value("select jsonb_agg(to_jsonb(j) order by j.jobid) from cron.job j"); got != jobs {
					p.t.Errorf("cron.job was\n%s\nand is\n%s", jobs, got)
				}
				if left := p.traces("auto-backup"); len(left) != 1 || !strings.Contains(left[0], "daily") {
					p.t.Errorf("destroy left %v", left)
				}
				if got := p.value(routines); got != application {
					p.t.Error("the application's functions are not what they were")
				}
				if got := p.value("select count(*) from public.backup_logs where action_type = 'auto_backup' and success"); got != "2" {
					p.t.Errorf("destroy left %s rows of finished backups in the log, not 2", got)
				}
				if got := p.value("select count(*) filter (where convalidated) || ' of ' || count(*) from pg_constraint where conname = 'backup_logs_action_type_check'"); got != "0 of 1" {
					p.t.Errorf("valid CHECKs after destroy: %s", got)
				}
				return nil
			},
		})
	})
}

// beyondTheMatrix returns the ways that TestDriftMatrix does not go: those of a
// self-hosted project, and all of them in a project of somebody else, where
// nothing can be brought about that only the local stack can.
func beyondTheMatrix(t *testing.T) []transport {
	t.Helper()
	if foreignTarget(t) != nil {
		return nil
	}
	return []transport{selfHosted}
}

// TestDrift proves that what somebody else changes in the project is named by
// the plan, repaired in place by the apply, and that the plan after it is empty.
func TestDrift(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{LegacyJobs: true}, func(t *testing.T, p *project) {
		config := p.config(nightly + `
			secrets = { OTHER_KEY = "first" }`)
		steps := []resource.TestStep{{Config: config, ConfigPlanChecks: action(plancheck.ResourceActionCreate)}}
		type change struct {
			tamper       func()
			object, text string
		}
		changes := []change{
			{func() {
				p.asPostgres("select cron.alter_job(jobid, schedule := '0 4 * * *') from cron.job where jobname = 'auto-backup-nightly'")
			}, "job auto-backup-nightly", "has the schedule 0 4 * * * instead of 0 6 * * *"},
			{func() {
				p.asPostgres("select cron.alter_job(jobid, active := false) from cron.job where jobname = 'auto-backup-watchdog'")
			}, "job auto-backup-watchdog", "is switched off"},
			{func() { p.asPostgres("select cron.unschedule('auto-backup-nightly')") },
				"job auto-backup-nightly", "is missing"},
			{func() { p.overwriteSecret("AUTO_BACKUP_TOKEN", strings.Repeat("x", 43)) }, "invocation token", "differs between the vault and the function's secrets"},
			{func() {
				p.asPostgres("do $$ begin perform vault.update_secret(id, 'by-hand') from vault.secrets where name = 'auto-backup/token'; end $$")
			}, "invocation token", "differs between the vault and the function's secrets"},
			{func() { p.overwriteSecret("OTHER_KEY", "second") }, "secret OTHER_KEY", "has another value than the configured one"},
			{func() {
				if err := p.api().DeleteSecrets(p.t.Context(), p.ProjectRef, []string{"OTHER_KEY"}); err != nil {
					p.t.Fatal(err)
				}
			}, "secret OTHER_KEY", "is missing"},
			{func() {
				if _, err := p.api().DeployFunction(p.t.Context(), p.ProjectRef, supabase.Deployment{
					Slug: "auto-backup", Name: "auto-backup", Entrypoint: "by-hand/index.ts", VerifyJWT: false,
					Files: map[string][]byte{"by-hand/index.ts": []byte("Deno.serve(() => new Response())")},
				}); err != nil {
					p.t.Fatal(err)
				}
			}, "function source", "the whole function was replaced; 32 of 33 files are gone"},
			{func() {
				if err := p.api().DeleteFunction(p.t.Context(), p.ProjectRef, "auto-backup"); err != nil {
					p.t.Fatal(err)
				}
			}, "Edge Function auto-backup", "is not deployed"},
			{func() {
				p.asPostgres("create or replace function auto_backup.token(backup text) returns text language sql as 'select ''x'''")
			}, "function auto_backup.token(text)", "has another body and has language sql instead of plpgsql and has settings unset instead of search_path=\"\""},
			{func() {
				p.sql("alter table public.backup_logs drop constraint backup_logs_action_type_check, add constraint backup_logs_action_type_check check (action_type in ('backup', 'restore')) not valid")
			}, "table public.backup_logs", "refuses rows of action_type 'auto_backup', by its CHECK backup_logs_action_type_check"},
			{func() {
				p.sql(`update auto_backup.settings set document = jsonb_set(document, '{retry,attempts}', '7')`)
			}, "setting retry.attempts", "is 7 instead of 1"},
			{func() {
				p.sql(`update auto_backup.settings set document = jsonb_set(document, '{function,url}', '"https://elsewhere.supabase.co/functions/v1/auto-backup"')`)
			}, "setting function.url", "is https://elsewhere.supabase.co/functions/v1/auto-backup instead of " + p.ProjectURL + "/functions/v1/auto-backup"},
			{func() { p.sql("delete from auto_backup.settings") }, "row auto-backup of auto_backup.settings", "is missing"},
		}
		if !p.isSelfHosted() { // where no function has such a property
			changes = append(changes, change{func() {
				verify := true
				if _, err := p.client().UpdateFunction(p.t.Context(), p.ProjectRef, "auto-backup", supabase.FunctionUpdate{VerifyJWT: &verify}); err != nil {
					p.t.Fatal(err)
				}
			}, "Edge Function auto-backup", "demands a JWT (verify_jwt is on), which the database does not send"})
		}
		for _, d := range changes {
			checks := action(plancheck.ResourceActionUpdate)
			want := drifted{d.object: d.text}
			if p.isSelfHosted() && d.text == "is not deployed" {
				want["invocation token"] = "is missing in the function's secrets" // it lies in the function's directory
			}
			checks.PreApply = append(checks.PreApply, want)
			steps = append(steps, resource.TestStep{PreConfig: d.tamper, Config: config, ConfigPlanChecks: checks})
		}
		takeSteps(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
	}, beyondTheMatrix(t)...)
}

// TestNoDrift proves that what does not concern the backup does not count as drift: the
// same source deployed manually, other jobs, other secrets, rows of the logs.
func TestNoDrift(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{LegacyJobs: true}, func(t *testing.T, p *project) {
		config := p.config(nightly)
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{Config: config},
				{
					PreConfig: func() {
						source, err := p.api().FunctionSource(p.t.Context(), p.ProjectRef, "auto-backup")
						if err != nil {
							p.t.Fatal(err)
						}
						if _, err := p.api().DeployFunction(p.t.Context(), p.ProjectRef, supabase.Deployment{
							Slug: "auto-backup", Name: "auto-backup", Entrypoint: source.Entrypoint, Files: source.Files,
						}); err != nil {
							p.t.Fatal(err)
						}
						p.overwriteSecret("SOMEBODY_ELSES", "value")
						p.asPostgres("select cron.schedule('another', '* * * * *', 'select 1')")
						p.asPostgres("select cron.unschedule('auto-backup-secondary')")
						p.sql("insert into public.backup_logs (action_type, details) values ('backup', 'manual')")
						p.sql("update auto_backup.settings set updated_at = now() + interval '1 day'")
					},
					Config:           config,
					ConfigPlanChecks: empty(),
				},
			},
		})
	}, beyondTheMatrix(t)...)
}

// TestRotation proves that rotate_token replaces the token in the vault and in
// the function, and that the backup runs with the new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{}, func(t *testing.T, p *project) {
		var before string
		token := "select encode(sha256(convert_to(decrypted_secret, 'UTF8')), 'hex') from vault.decrypted_secrets where name = 'auto-backup/token'"
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{Config: p.config("")},
				{
					PreConfig:        func() { before = p.value(token) },
					Config:           p.config(`rotate_token = "2026-11"`),
					ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
				},
				{
					PreConfig: func() {
						if after := p.value(token); after == before || after == "" {
							p.t.Error("the token was not replaced")
						}
						if left := p.traces("auto-backup"); strings.Contains(strings.Join(left, " "), "TOKEN_NEXT") {
							p.t.Errorf("the rotation left %v", left)
						}
						p.tick("daily", 0)
						p.await("1", "select count(*) from public.system_logs where type = 'auto_backup'")
					},
					Config:           p.config(`rotate_token = "2026-11"`),
					ConfigPlanChecks: empty(),
				},
			},
		})
	}, managementAPI, selfHosted)
}

// TestForeignObjects proves that a plan refuses to take what another hand has
// made, names it together with the import block, and takes it over when it is
// told to.
func TestForeignObjects(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{LegacyJobs: true}, func(t *testing.T, p *project) {
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{Config: p.config(""), ExpectError: regexp.MustCompile(`(?s)auto-backup-daily.*adopt_existing.*import \{`)},
				{
					PreConfig: func() {
						if left := p.value("select nspname from pg_namespace where nspname = 'auto_backup'"); left != "" {
							p.t.Error("a refused plan wrote to the database")
						}
					},
					Config:           p.config("adopt_existing = true"),
					ConfigPlanChecks: action(plancheck.ResourceActionCreate),
				},
				{
					PreConfig: func() {
						if got := p.value("select string_agg(command, ';') from cron.job where jobname = 'auto-backup-daily'"); got != "set statement_timeout = '2min'; select auto_backup.dispatch('auto-backup', 'daily')" {
							p.t.Errorf("the adopted job runs %s", got)
						}
					},
					Config:           p.config("adopt_existing = true"),
					ConfigPlanChecks: empty(),
				},
			},
		})
	}, managementAPI, selfHosted)
}

// TestOwnSource proves that a function directory of several files is deployed
// with all that index.ts reaches, that an edit of a file's content alone is
// planned at that file and applied, and that a missing file is refused.
func TestOwnSource(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	dir := filepath.Join(t.TempDir(), "functions", "own")
	put := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("deno.json", `{ "imports": { "@answer": "./lib/answer.ts" } }`)
	put("types.ts", `export interface Answer { success: boolean }`)
	put("signature.ts", signatureModule(t))
	put("index.ts", `import type { Answer } from "./types.ts"; import { answer } from "@answer"; import "../_shared/x.ts"; `+answering("answer as Answer"))
	put("lib/answer.ts", `export const answer = { success: true };`)
	put("../_shared/x.ts", `export {};`)
	config := p.config(`function = { source_dir = "` + dir + `" }`)
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config: config,
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(address, tfjsonpath.New("source_hash"), knownvalue.StringRegexp(regexp.MustCompile("^[0-9a-f]{16}$"))),
				},
			},
			{Config: config, ConfigPlanChecks: empty()},
			{
				PreConfig:        func() { put("lib/answer.ts", `export const answer = { success: true, edited: true };`) },
				Config:           config,
				ConfigPlanChecks: action(plancheck.ResourceActionUpdate),
			},
			{
				PreConfig:   func() { put("index.ts", `import "./gone.ts";`) },
				Config:      config,
				ExpectError: regexp.MustCompile(`imports\s+"./gone.ts"`),
			},
			{PreConfig: func() { put("index.ts", "") }, Config: config, Destroy: true},
		},
	})
}

// TestDestroyWithPartsGone proves that destroy ends well when other hands were
// there before it.
func TestDestroyWithPartsGone(t *testing.T) {
	t.Parallel()
	everyTransport(t, stack.Options{}, func(t *testing.T, p *project) {
		takeSteps(t, resource.TestCase{
			ProtoV6ProviderFactories: factories,
			Steps: []resource.TestStep{
				{Config: p.config("")},
				{
					PreConfig: func() {
						p.asPostgres("select cron.unschedule('auto-backup-daily')")
						p.asPostgres("delete from vault.secrets where name = 'auto-backup/token'")
						if err := p.api().DeleteFunction(p.t.Context(), p.ProjectRef, "auto-backup"); err != nil {
							p.t.Fatal(err)
						}
					},
					Config:  p.config(""),
					Destroy: true,
				},
			},
			CheckDestroy: func(*terraform.State) error {
				if left := p.traces("auto-backup"); len(left) > 0 {
					p.t.Errorf("destroy left %v", left)
				}
				return nil
			},
		})
	}, managementAPI, selfHosted)
}

// TestPlanIsReadOnly proves that a token and a database role which may only
// read are enough for a plan, over both transports: an empty one, one that
// names a drift, and that of a backup which is not there yet.
func TestPlanIsReadOnly(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{LegacyJobs: true})
	reader := func(direct bool) string {
		database := ""
		if direct {
			database = p.ReadOnlyDatabaseURL
		}
		return p.configAs(p.ReadOnlyAccessToken, database, nightly)
	}
	notYet := resource.ConfigPlanChecks{PostApplyPreRefresh: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, plancheck.ResourceActionCreate)}}
	drifted := resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate)}}
	steps := []resource.TestStep{}
	for _, direct := range []bool{false, true} {
		steps = append(steps, resource.TestStep{Config: reader(direct), PlanOnly: true, ExpectNonEmptyPlan: true, ConfigPlanChecks: notYet})
	}
	steps = append(steps, resource.TestStep{Config: p.config(nightly)})
	for _, direct := range []bool{false, true} {
		steps = append(steps, resource.TestStep{Config: reader(direct), PlanOnly: true})
	}
	steps = append(steps, resource.TestStep{
		PreConfig: func() { p.asPostgres("select cron.unschedule('auto-backup-nightly')") },
		Config:    reader(false), PlanOnly: true, ExpectNonEmptyPlan: true, ConfigPlanChecks: drifted,
	}, resource.TestStep{Config: p.config(nightly)})
	takeSteps(t, resource.TestCase{ProtoV6ProviderFactories: factories, Steps: steps})
}

// TestClockChanges proves that in a zone whose clock changes the job ticks at
// both UTC times that can be right, and that the dispatcher lets through the
// one that is, in summer and in winter.
func TestClockChanges(t *testing.T) {
	t.Parallel()
	p := start(t, stack.Options{})
	run := func(at string) string {
		return p.value("select auto_backup.dispatch('auto-backup', 'daily', $1::timestamptz) is not null", at)
	}
	takeSteps(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config: p.config(`timezone = "Europe/Berlin"`),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(address, tfjsonpath.New("cron_utc").AtMapKey("daily"), knownvalue.StringExact("0 1,2 * * *")),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("alert").AtMapKey("overdue_after"), knownvalue.StringExact("27h")),
				},
			},
			{
				PreConfig: func() {
					for at, want := range map[string]string{
						"2026-01-15 01:00:00Z": "false", "2026-01-15 02:00:00Z": "true",
						"2026-07-15 01:00:00Z": "true", "2026-07-15 02:00:00Z": "false",
						// The clock goes back at 01:00 UTC: 03:00 comes once, 02:00 UTC.
						"2026-10-25 01:00:00Z": "false", "2026-10-25 02:00:00Z": "true",
					} {
						if got := run(at); got != want {
							p.t.Errorf("at %s the tick is let through: %s, want %s", at, got, want)
						}
					}
				},
				Config:           p.config(`timezone = "Europe/Berlin"`),
				ConfigPlanChecks: empty(),
			},
		},
	})
}

// drifted proves that a plan has exactly this drift, by object, and plans it empty.
type drifted map[string]string

func (want drifted) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	for _, change := range req.Plan.ResourceChanges {
		if change.Address != address {
			continue
		}
		before, _ := change.Change.Before.(map[string]any)
		after, _ := change.Change.After.(map[string]any)
		found, _ := before["drift"].(map[string]any)
		planned, isMap := after["drift"].(map[string]any)
		got := drifted{}
		for object, text := range found {
			got[object] = fmt.Sprint(text)
		}
		if !maps.Equal(got, want) || !isMap || len(planned) > 0 {
			resp.Error = fmt.Errorf("the plan has the drift %v, not %v, and plans %v", got, want, planned)
		}
		return
	}
	resp.Error = fmt.Errorf("the plan has no change of %s", address)
}
