-- The names of the backups of one owner in a database. $1 is the owner's marker.
--
-- Where the dispatcher is not installed there are none: the query runs by
-- query_to_xml only where its table exists.
select
    case
        when to_regclass('auto_backup.settings') is not null then
            (
                xpath(
                    '//d/text()',
                    query_to_xml(
                        format(
                            $q$select jsonb_agg(s.backup order by s.backup) as d from auto_backup.settings s where s.owner = %L$q$,
                            $1::text
                        ), false, false, ''
                    )
                )
            )[1]::text::jsonb
    end as result
