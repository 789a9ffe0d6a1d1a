package checks

import (
	"strings"

	"github.com/aimindset/terraform-provider-aimindset/internal/facts"
)

// token are the checks of the invocation token's two homes and of the function's
// other secrets.
var token = []Check{
	{
		Code: "vault_token_missing", Theme: Token, Asked: Failing,
		Facts: []facts.Part{"extensions", "vault"},
		Find: func(s *Subject) []Finding {
			_, there := s.Vault[s.ID.Name.VaultToken()]
			if _, ok := s.Extensions["supabase_vault"]; !ok || s.Vault == nil || there {
				return nil
			}
			return one(About("The invocation token", "is missing in the vault: there is no secret %s, so no request can be made", s.ID.Name.VaultToken()))
		},
	},
	{
		Code: "vault_token_unreadable", Theme: Token, Asked: Failing,
		Facts: []facts.Part{"extensions", "vault", "token_digest"},
		Find: func(s *Subject) []Finding {
			if _, there := s.Vault[s.ID.Name.VaultToken()]; !there || s.TokenDigest == nil || s.TokenDigest.Digest != "" {
				return nil
			}
			return one(About("The vault", "cannot decrypt the secret %s, as after a restore into another project, so no request can be made", s.ID.Name.VaultToken()))
		},
	},
	{
		Code: "function_token_missing", Theme: Token, Asked: Failing,
		Find: func(s *Subject) []Finding {
			if s.State.Token.Function != "" || s.State.Token.Next != "" {
				return nil
			}
			return one(About("The function", "has no token: its secret %s is missing", s.ID.Name.TokenSecret()))
		},
	},
	{
		Code: "token_mismatch", Theme: Token, Asked: Failing,
		Facts: []facts.Part{"token_digest"},
		Find: func(s *Subject) []Finding {
			t := s.State.Token
			if t.Function == "" && t.Next == "" || t.Vault == "" || t.Vault == t.Function || t.Vault == t.Next {
				return nil
			}
			return one(About("The token in the vault", "differs from the function's secret %s, so the function refuses every request", s.ID.Name.TokenSecret()))
		},
	},
	{
		Code: "secret_missing", Theme: Token, Asked: Failing,
		Find: func(s *Subject) []Finding {
			var missing []string
			for _, name := range s.Spec.Settings.Secrets {
				if _, ok := s.Secrets[name]; !ok {
					missing = append(missing, name)
				}
			}
			if len(missing) == 0 {
				return nil
			}
			return one(About("The function", "lacks secrets that belong to the backup: %s", strings.Join(missing, ", ")))
		},
	},
}
