-- name: configured
-- What the settings of an installed backup say of its function, for a reader that
-- does not know them yet.
-- kind: query
-- needs: auto_backup.settings (backup, document)
-- parameters: settings_of
select s.document -> 'function' from auto_backup.settings s where s.backup = :'settings_of'
