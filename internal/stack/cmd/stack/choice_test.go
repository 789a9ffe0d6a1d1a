package main

import (
	"strings"
	"testing"
)

// Proves that a choice which cannot be is refused before anything starts, in words that
// name the variable, and that the usual transport is the one that the project has.
func TestChoice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		choice
		transport, refused string
	}{
		"the platform":               {choice{engine: terraform}, api, ""},
		"self-hosted":                {choice{engine: tofu, selfHosted: docker}, database, ""},
		"another setup":              {choice{engine: terraform, selfHosted: "1"}, "", `STACK_SELF_HOSTED is "1"; it must be docker`},
		"another transport":          {choice{engine: terraform, transport: "http"}, "", `STACK_TRANSPORT is "http"; it must be api, database or pooler`},
		"another program":            {choice{engine: "pulumi"}, "", `STACK_ENGINE is "pulumi"; it must be terraform or tofu`},
		"an API that is not there":   {choice{engine: terraform, selfHosted: cliNative, transport: api}, "", "STACK_TRANSPORT is api, and a self-hosted project has no Management API"},
		"a pooler, self-hosted, too": {choice{engine: terraform, selfHosted: cliNative, transport: pooler}, pooler, ""},
	} {
		opts, err := c.options()
		switch {
		case c.refused == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)):
			t.Errorf("%s: %v", name, err)
		case c.refused == "" && (c.choice.transport != c.transport || opts.SelfHosted != (c.selfHosted != "") || opts.CLIStack != (c.selfHosted == cliNative)):
			t.Errorf("%s: %+v, %+v", name, c.choice, opts)
		}
	}
}

// Proves that a shell takes a quoted text as it is.
func TestQuoted(t *testing.T) {
	t.Parallel()
	if got := quoted("it's $HOME"); got != `'it'\''s $HOME'` {
		t.Errorf("it is %s", got)
	}
}
