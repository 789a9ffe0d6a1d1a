-- name: vault
-- The vault secrets of a backup with their descriptions, and those that carry its
-- ownership marker under another name. No secret is read.
-- kind: query
-- of: backup
-- needs: vault.secrets (name, description)
-- parameters: backup
select coalesce(jsonb_object_agg(v.name, v.description), '{}')
from vault.secrets v
where v.name in (:'backup' || '/token', :'backup' || '/alert-key', :'backup' || '/heartbeat')
or starts_with(v.name, :'backup' || '/webhook/')
or starts_with(v.name, :'backup' || '/webhook-secret/')
or v.name is not null and v.description = 'managed by terraform-provider-aimindset, backup ' || :'backup'
