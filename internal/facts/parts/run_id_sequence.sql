-- name: run_id_sequence
-- Where pg_cron's sequence of run ids stands. The next id is last_value itself as
-- long as is_called is false.
-- kind: query
-- needs: cron.runid_seq
select jsonb_build_object('last_value', s.last_value, 'is_called', s.is_called) from cron.runid_seq s
