-- name: vault_names
-- The names that backups would have to have for a secret of the vault to be theirs: what
-- its name has before the slash, and its ownership marker at the end. Null: there are too
-- many to list.
-- kind: query
-- needs: vault.secrets (name, description)
select case when count(*) <= 1000 then coalesce(jsonb_agg(n.name order by n.name), '[]') end
from (
    select split_part(v.name, '/', 1) as name
    from vault.secrets v
    where position('/' in v.name) > 0
    union
    select regexp_replace(v.description, '^.*, backup ', '')
    from vault.secrets v
    where starts_with(v.description, 'managed by terraform-provider-aimindset, backup ')
) as n
