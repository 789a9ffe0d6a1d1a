package history

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// TestRunFromRow proves that a row of the view fills every field of a Run, and
// that a row of which nothing is known leaves every field empty.
func TestRunFromRow(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2026, 11, 23, 6, 0, second, 0, time.UTC) }
	request, records, recovered := int64(7), int64(321), true
	want := Run{
		ID: "11111111-1111-4111-8111-111111111111", Schedule: "daily", Trigger: TriggerCatchUp, Attempt: 2, State: Failed,
		DueAt: at(0), RequestedAt: at(1), FinishedAt: at(5), RequestID: &request, Refused: 1,
		BackupID: "22222222-2222-4222-8222-222222222222", Records: &records,
		Code: "rpc_http", Error: "permission denied", SQLState: "42501", LogState: "watchdog", Recovered: &recovered,
		WhatHappened: "what", Tick: "tick", Request: "request", HTTP: "http", Function: "function", Log: "log", Alert: "alert",
	}
	row := `{
		"backup": "auto-backup", "run_id": "11111111-1111-4111-8111-111111111111", "schedule": "daily", "trigger": "catch_up", "attempt": 2,
		"state": "failed", "due_at": "2026-11-23T06:00:00+00:00", "requested_at": "2026-11-23T03:00:01-03:00",
		"finished_at": "2026-11-23T06:00:05Z", "request_id": 7, "refused": 1, "backup_id": "22222222-2222-4222-8222-222222222222", "records": 321,
		"code": "rpc_http", "error": "permission denied", "sqlstate": "42501", "log_state": "watchdog", "recovered": true,
		"what_happened": "what", "tick": "tick", "request": "request", "http": "http", "function": "function", "log": "log", "alert": "alert"
	}`
	var got Run
	if err := json.Unmarshal([]byte(row), &got); err != nil {
		t.Fatal(err)
	}
	for _, moment := range []*time.Time{&got.DueAt, &got.RequestedAt, &got.FinishedAt} {
		*moment = moment.UTC()
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	fields := map[string]any{}
	for i := range reflect.TypeFor[Run]().NumField() {
		if reflect.ValueOf(got).Field(i).IsZero() {
			t.Errorf("the row does not fill %s", reflect.TypeFor[Run]().Field(i).Name)
		}
		fields[reflect.TypeFor[Run]().Field(i).Tag.Get("json")] = nil
	}
	empty, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	var nothing Run
	if err := json.Unmarshal(empty, &nothing); err != nil || nothing != (Run{}) {
		t.Errorf("a row of nulls is %+v, %v", nothing, err)
	}
}

// TestRun proves what is derived from a run: whether it has ended, how long it
// took, and whether its outcome is missing in the log tables.
func TestRun(t *testing.T) {
	t.Parallel()
	for state, want := range map[State]bool{Requested: false, Running: false, Succeeded: true, Failed: true, Overdue: false} {
		if got := state.Ended(); got != want {
			t.Errorf("%s has ended: %t", state, got)
		}
	}
	at := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		run   Run
		want  time.Duration
		known bool
	}{
		{Run{RequestedAt: at, FinishedAt: at.Add(90 * time.Second)}, 90 * time.Second, true},
		{Run{RequestedAt: at, FinishedAt: at}, 0, true},
		{Run{RequestedAt: at}, 0, false},
		{Run{FinishedAt: at}, 0, false},
	} {
		if got, known := c.run.Duration(); got != c.want || known != c.known {
			t.Errorf("from %s to %s: %s, %t", c.run.RequestedAt, c.run.FinishedAt, got, known)
		}
	}
	for state, want := range map[string]bool{"": false, "function": false, "watchdog": false, "unwritten": true} {
		if got := (Run{State: Succeeded, LogState: state}).Unlogged(); got != want {
			t.Errorf("log_state %q: unlogged is %t", state, got)
		}
	}
}
