-- name: installation
-- What is installed in schema auto_backup. The row is read as a document, because
-- a column may be lost.
-- kind: query
-- needs: auto_backup.installation (owner, version)
select to_jsonb(i) from auto_backup.installation i limit 1
