-- Makes scripts wait for each other. Two that create or drop the same objects at the
-- same time would fail half-way. Until this transaction ends, any other that creates a
-- schema of this name waits for it, and nobody ever sees the schema. Only roles that
-- may create schemas can do that; an advisory lock could be held by every role.
create schema auto_backup_lock;
drop schema auto_backup_lock;
