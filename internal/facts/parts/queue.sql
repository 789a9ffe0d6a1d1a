-- name: queue
-- The requests that pg_net has not sent, up to a thousand.
-- kind: query
-- needs: net.http_request_queue (id)
select coalesce(jsonb_agg(q.id), '[]') from (select o.id from net.http_request_queue o limit 1000) as q
