-- name: channel_secrets
-- When the secrets of a backup's heartbeat and webhooks were last written, by their names
-- in the vault. No secret is read.
-- kind: query
-- of: backup
-- needs: vault.secrets (name, updated_at)
-- parameters: backup
select coalesce(jsonb_object_agg(v.name, v.updated_at), '{}')
from vault.secrets v
where v.name = :'backup' || '/heartbeat' or starts_with(v.name, :'backup' || '/webhook/') or starts_with(v.name, :'backup' || '/webhook-secret/')
