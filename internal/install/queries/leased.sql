-- The answer of acquire_first.sql, and if the lease is acquired, what the backup is like
-- under it. Package install puts in what stands between two @.
select jsonb_build_object(
    'lease', a.answer,
    'observed', case when (a.answer ->> 'acquired')::boolean then (
@observation@
    ) end
) as result
from (select nullif(current_setting('auto_backup.answer', true), '')::jsonb as answer offset 0) as a
