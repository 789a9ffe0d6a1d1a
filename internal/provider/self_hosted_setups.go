package provider

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aimindset/terraform-provider-aimindset/internal/selfhosted"
)

// The values of setup.
const (
	setupDocker       = "docker"
	setupCLI          = "cli"
	setupCLINative    = "cli_native"
	setupCLIContainer = "cli_container"
)

// cliLifetime is how long every runtime of the CLI lets an instance of a function live.
const cliLifetime = 400 * time.Second

// A setup is a program that runs a self-hosted project, and what is different in it. The
// CLI's are those of CLI 3.1.0: "supabase start" with its old backend, and with
// "[experimental] stack = true", whose database is a process of the machine or in a
// container.
type setup struct {
	// url is the gateway as the database sees it.
	url      string
	lifetime time.Duration
	// fresh says that the runtime starts an instance for each request.
	fresh bool
	// key says where the anon key is, restart how the runtime gets a changed
	// environment, serves when it serves a new function, and jwt what decides
	// whether it requires a JWT.
	key, restart, serves, jwt string
}

const (
	cliRestart = `run "supabase stop && supabase start"`
	cliJWT     = "The runtime requires a JWT unless supabase/config.toml has \"verify_jwt = false\" in [functions.<the backup's name>], which is read when the stack starts: add it and " + cliRestart + ", or set `verify_jwt` in `self_hosted`"
	stackKey   = `"supabase stack status --env --output-format text" prints it as ANON_KEY`
	anyRequest = "it serves a new function at the next request"
)

// setups are the setups by their value.
var setups = map[string]setup{
	setupDocker: {
		url: "http://kong:8000", lifetime: selfhosted.DefaultWorkerLifetime,
		key:     "in the Docker setup it is ANON_KEY in .env",
		restart: `run "docker compose up -d --force-recreate --no-deps functions" in the directory of docker-compose.yml`,
		serves:  anyRequest,
		jwt:     "The runtime requires a JWT if FUNCTIONS_VERIFY_JWT is true in .env: then set `verify_jwt` in `self_hosted`",
	},
	setupCLI: {
		url: "http://kong:8000", lifetime: cliLifetime,
		key:     `"supabase status -o env" prints it as ANON_KEY`,
		restart: cliRestart, serves: "it serves a new function only after a restart", jwt: cliJWT,
	},
	setupCLINative: {
		url: "http://127.0.0.1:54321", lifetime: cliLifetime, fresh: true,
		key: stackKey, restart: cliRestart, serves: anyRequest, jwt: cliJWT,
	},
	setupCLIContainer: {
		url: "http://host.supabase.internal:54321", lifetime: cliLifetime, fresh: true,
		key: stackKey, restart: cliRestart, serves: anyRequest, jwt: cliJWT,
	},
}

func setupNames() []string { return slices.Sorted(maps.Keys(setups)) }

// setup returns what is different in the setup of the project.
func (s selfHosted) setup() setup {
	if found, ok := setups[s.Setup]; ok {
		return found
	}
	return setups[setupDocker]
}

// advice says what to check when the function of a self-hosted project cannot be called.
func (s selfHosted) advice() string {
	return fmt.Sprintf("In a self-hosted project, check these. "+
		"The database has to reach the gateway at %s, the default for `setup = %q`; `setup` in `self_hosted` chooses the address, and `url` replaces it, for example if the port is another one. "+
		"The functions service has to serve %s; %s. %s",
		s.URL, s.Setup, s.FunctionsDir, s.setup().serves, s.setup().jwt)
}
