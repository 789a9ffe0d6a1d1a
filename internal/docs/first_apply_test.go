package docs_test

import (
	"strings"
	"testing"

	"github.com/aimindset/terraform-provider-aimindset/internal/stack"
)

// TestFirstApplyFails proves for both languages that a reader whose first apply fails at
// its backup is told why, and has a working backup after the commands of the guide, with
// the installation kept.
func TestFirstApplyFails(t *testing.T) {
	t.Parallel()
	for guide, heading := range map[string]string{"get-started.md": "## If the first apply fails", "inicio-rapido.md": "## Se o primeiro apply falhar"} {
		t.Run(guide, func(t *testing.T) {
			t.Parallel()
			s := start(t, stack.Options{Articles: 1})
			u := newUser(t, s.Environ()...)
			text := example(t, s.ProjectRef, "docs", "guides", guide)
			_, section, found := strings.Cut(text, heading+"\n")
			section, _, _ = strings.Cut(section, "\n## ")
			if !found {
				t.Fatalf("there is no section %q", heading)
			}
			for _, b := range blocksOf(text) {
				if strings.HasPrefix(b.text, "# main.tf\n") {
					u.write("main.tf", b.text)
				}
			}
			u.run(0, "terraform init -input=false")
			exec(t, s, `create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'articles are refused'; end $$;
				create trigger refuse before insert on public.backup_articles for each row execute function public.refuse()`)
			if out := u.run(1, "terraform apply -input=false -auto-approve -no-color"); !strings.Contains(unwrapped(out), "articles are refused") {
				t.Errorf("the first apply says\n%s", out)
			}
			instance := value(t, s, "select document ->> 'instance' from auto_backup.settings")
			if out := u.run(0, "terraform plan -input=false -no-color"); !strings.Contains(out, "must be replaced") {
				t.Errorf("the plan of a tainted resource says\n%s", out)
			}
			exec(t, s, "drop trigger refuse on public.backup_articles; drop function public.refuse()")
			blocks := blocksOf(section)
			if len(blocks) != 1 {
				t.Fatalf("the section has %d blocks", len(blocks))
			}
			u.run(0, blocks[0].text)
			u.run(0, "terraform plan -input=false -detailed-exitcode")
			if got := value(t, s, "select document ->> 'instance' from auto_backup.settings"); got != instance || instance == "" {
				t.Errorf("the installation %q has become %q", instance, got)
			}
			if got := value(t, s, "select count(*) from auto_backup.runs where state = 'succeeded'"); got != "1" {
				t.Errorf("%s backups have succeeded", got)
			}
			if out := u.run(1, "terraform -chdir=. untaint -no-color aimindset_auto_backup.other"); !strings.Contains(unwrapped(out), "No such resource instance") {
				t.Errorf("of a resource that is not there, untaint says\n%s", out)
			}
		})
	}
}
