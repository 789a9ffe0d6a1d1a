package copies_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/offsite"
	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// failure is a way for a destination to fail.
type failure struct {
	name string
	// account gives the function other credentials.
	account func(*site) stack.S3Account
	// breaks breaks it; change, if set, is applied as configuration instead.
	breaks func(*site)
	change func(*site, *offsite.Destination)
	// thrice fails three times in a row.
	thrice bool
	// code is what the ledger has to say; empty means that the copy becomes complete.
	code string
}

// always chooses all requests of a method.
func always(method string) stack.S3Match { return stack.S3Match{Method: method, Times: -1} }

// responds breaks every PUT with an error of S3.
func responds(status int, code string) func(*site) {
	return func(s *site) { s.s3.Break(always(http.MethodPut), stack.S3Error(status, code)) }
}

// puts breaks every PUT in some way.
func puts(fault stack.S3Fault) func(*site) {
	return func(s *site) { s.s3.Break(always(http.MethodPut), fault) }
}

var failures = []failure{
	{name: "access key unknown", code: "offsite_key_unknown", account: func(s *site) stack.S3Account {
		return stack.S3Account{AccessKeyID: "AKIAUNKNOWN", SecretAccessKey: s.s3.Reader.SecretAccessKey}
	}},
	{name: "secrets not set", code: "offsite_key_unknown", account: func(*site) stack.S3Account { return stack.S3Account{} }},
	{name: "secret wrong", code: "offsite_signature", account: func(s *site) stack.S3Account {
		return stack.S3Account{AccessKeyID: s.s3.Reader.AccessKeyID, SecretAccessKey: "wrong"}
	}},
	{name: "no rights", code: "offsite_denied", account: func(s *site) stack.S3Account { return s.s3.Nobody }},
	{name: "no right to read what was stored", code: "offsite_denied", account: func(s *site) stack.S3Account { return s.s3.Writer }},
	{name: "no such bucket", code: "offsite_no_bucket", change: func(_ *site, d *offsite.Destination) { d.Bucket = "there-is-none" }},
	{name: "bucket deleted meanwhile", code: "offsite_no_bucket", breaks: func(s *site) {
		s.s3.Break(stack.S3Match{Method: http.MethodPut, Nth: 3, Times: -1}, stack.S3Error(404, "NoSuchBucket"))
	}},
	{name: "conflict", code: "offsite_conflict", breaks: responds(409, "OperationAborted")},
	{name: "key taken", code: "offsite_exists", breaks: responds(412, "PreconditionFailed")},
	{name: "internal error", thrice: true, code: "offsite_server", breaks: responds(500, "InternalError")},
	{name: "bad gateway", code: "offsite_server", breaks: responds(502, "BadGateway")},
	{name: "unavailable", code: "offsite_slow_down", breaks: responds(503, "ServiceUnavailable")},
	{name: "slow down", code: "offsite_slow_down", breaks: responds(503, "SlowDown")},
	{name: "too many requests", code: "offsite_slow_down", breaks: puts(stack.S3SlowDown(time.Second))},
	{name: "disk full", code: "offsite_quota", breaks: responds(507, "InsufficientStorage")},
	{name: "quota used up", code: "offsite_quota", breaks: responds(403, "QuotaExceeded")},
	{name: "clock skewed", code: "offsite_clock", breaks: responds(403, "RequestTimeTooSkewed")},
	{name: "object too large", code: "offsite_too_large", breaks: responds(400, "EntityTooLarge")},
	{name: "not implemented", code: "offsite_not_implemented", breaks: responds(501, "NotImplemented")},
	{name: "unknown error", code: "offsite_http", breaks: responds(418, "Teapot")},
	{name: "another region", code: "offsite_region", breaks: puts(stack.S3Redirect("https://s3.elsewhere.example", "us-west-2"))},
	{name: "login page of a proxy", code: "offsite_proxy", breaks: puts(stack.S3HTML(200))},
	{name: "no response", code: "offsite_timeout", breaks: puts(stack.S3Hang())},
	{name: "connection closed", code: "offsite_connection", breaks: puts(stack.S3CutBefore())},
	{name: "closed in the middle of the body", code: "offsite_connection", breaks: puts(stack.S3HalfRequest())},
	{name: "bytes changed on the way", code: "offsite_checksum", breaks: puts(stack.S3FlipRequest())},
	{name: "lock dropped on the way", code: "offsite_lock_missing", breaks: func(s *site) { s.s3.Break(always(http.MethodPut), s.s3.DropLock()) }},
	{name: "lock not shown", code: "offsite_lock_missing", breaks: func(s *site) { s.s3.Break(always(http.MethodHead), stack.S3HideLock()) }},
	{name: "bucket without lock", code: "offsite_lock_missing", change: func(s *site, d *offsite.Destination) { d.Bucket = s.s3.PlainBucket }},
	{name: "reads back as other bytes", code: "offsite_checksum", change: func(s *site, d *offsite.Destination) {
		d.Verify = offsite.VerifyRead
		s.s3.Break(always(http.MethodGet), stack.S3FlipResponse())
	}},
	{name: "certificate of another CA", code: "offsite_tls", change: servedBy(stack.S3OtherCA)},
	{name: "certificate expired", code: "offsite_tls", change: servedBy(stack.S3Expired)},
	{name: "certificate of another host", code: "offsite_tls", change: servedBy(stack.S3OtherHost)},
	{name: "host name unknown", code: "offsite_dns", change: func(_ *site, d *offsite.Destination) { d.Endpoint = "http://nothing.invalid" }},
	{name: "nothing listens", code: "offsite_connection", change: func(_ *site, d *offsite.Destination) { d.Endpoint = "http://127.0.0.1:1" }},
	{name: "recipient not a key", code: "offsite_recipient", change: func(_ *site, d *offsite.Destination) { d.Recipients = []string{"AAAA"} }},
	// Lost responses are no failures: nobody else has the key of the object.
	{name: "one response lost", breaks: func(s *site) {
		s.s3.Break(stack.S3Match{Method: http.MethodPut, Nth: 2}, stack.S3CutAfter())
	}},
	{name: "the manifest's response lost", breaks: func(s *site) {
		s.s3.Break(stack.S3Match{Method: http.MethodPut, Key: "manifest"}, stack.S3CutAfter())
	}},
}

func servedBy(kind stack.S3Certificate) func(*site, *offsite.Destination) {
	return func(s *site, d *offsite.Destination) {
		endpoint, err := s.s3.ServeTLS(s.ctx, kind)
		must(s.t, err)
		d.Endpoint = endpoint
	}
}

// TestDestinationFails proves for every way in which a destination can fail that the
// ledger names the cause, that the backup in the database counts as a success all the
// same, that there is at most one incident, which tells the same code, and that the copy
// becomes complete once the cause is gone, and ends the incident.
func TestDestinationFails(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5, nil)
	for _, f := range failures {
		if !t.Run(f.name, func(t *testing.T) { s.fails(t, f) }) {
			// What is left of it may spoil the next ones.
			s.t = t
			s.s3.Reset()
			s.credentials(s.s3.Reader)
			s.apply(nil)
			s.exec(`delete from auto_backup.exports where state = 'open'`)
			s.exec(`update auto_backup.incidents set recovered_at = now() where recovered_at is null`)
		}
	}
}

func (s *site) fails(t *testing.T, f failure) {
	former := s.t
	s.t = t
	defer func() { s.t = former }()
	s.s3.Reset()
	if f.account != nil {
		s.credentials(f.account(s))
	}
	if f.breaks != nil {
		f.breaks(s)
	}
	if f.change != nil {
		s.apply(func(d *offsite.Destination) { f.change(s, d) })
	}
	s.backUp()
	if f.code != "" {
		s.await("the failure", func() bool {
			return one[bool](s, `select code is not null from auto_backup.exports order by export_id desc limit 1`)
		})
		if f.thrice {
			// A retryable one is an incident at its third failure.
			for range 2 {
				s.again()
				s.await("another failure", func() bool {
					return one[bool](s, `select worker is null and next_at > clock_timestamp() and failures > 0 from auto_backup.exports order by export_id desc limit 1`)
				})
			}
		}
		s.watch()
		if code := one[string](s, `select code from auto_backup.exports order by export_id desc limit 1`); code != f.code {
			t.Errorf("the ledger says %s: %s", code, one[string](s, `select coalesce(error, '') from auto_backup.exports order by export_id desc limit 1`))
		}
		if state := one[string](s, `select state from auto_backup.runs order by requested_at desc limit 1`); state != "succeeded" {
			t.Errorf("the run is %s", state)
		}
		wanted := "none"
		if f.thrice || !one[bool](s, `select retryable from auto_backup.exports order by export_id desc limit 1`) {
			wanted = f.code
		}
		if open := one[string](s, `select coalesce(string_agg(code, ', '), 'none') from auto_backup.incidents where kind = 'offsite' and recovered_at is null`); open != wanted {
			t.Errorf("the incidents are %s, want %s", open, wanted)
		}
	}

	s.s3.Reset()
	if f.account != nil {
		s.credentials(s.s3.Reader)
	}
	if f.change != nil {
		s.apply(nil)
	}
	s.complete()
	if open := one[int](s, `select count(*) from auto_backup.incidents where kind = 'offsite' and recovered_at is null`); open != 0 {
		t.Errorf("%d incidents are still open", open)
	}
	if twice := one[int](s, `
		select count(*) from (
			select from auto_backup.export_objects where state = 'stored' group by export_id, kind, table_no, part having count(*) > 1
		) as o`); twice != 0 {
		t.Errorf("%d places were stored twice", twice)
	}
}

// complete lets the watchdog call until the newest copy is complete, without its pauses. A
// new value of a secret may end a process of the function in the middle of a call.
func (s *site) complete() {
	s.t.Helper()
	var pause int
	s.await("the complete copy", func() bool {
		if pause++; s.state() != "complete" && pause%20 == 1 {
			s.exec(`
				update auto_backup.exports
				set next_at = clock_timestamp(), claimed_until = case when worker is not null then least(claimed_until, claimed_at + interval '15 seconds') end
				where state = 'open'`)
			s.watch()
		}
		return s.state() == "complete"
	})
}

// again lets the watchdog call again at once.
func (s *site) again() {
	s.t.Helper()
	s.exec(`update auto_backup.exports set next_at = clock_timestamp() where state = 'open'`)
	s.watch()
}

// credentials gives the function the credentials of an account.
func (s *site) credentials(account stack.S3Account) {
	s.t.Helper()
	names := s.name.OffsiteSecrets(destination)
	must(s.t, s.stack.SetSecret(names.AccessKeyID, account.AccessKeyID))
	must(s.t, s.stack.SetSecret(names.SecretAccessKey, account.SecretAccessKey))
}
