-- name: installation
-- What is installed in schema auto_backup. The row is read as a document, because
-- a column may be lost; without what is large.
-- kind: query
-- needs: auto_backup.installation (owner, version)
select jsonb_build_object('owner', i.document -> 'owner', 'version', i.document -> 'version')
from (select to_jsonb(n) as document from auto_backup.installation n limit 1) as i
