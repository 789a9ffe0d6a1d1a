-- name: subscribers
-- How many rows the table of the alerts' addresses has, up to a thousand.
-- kind: query
-- needs: public.alert_subscriptions
select to_jsonb(count(*)) from (select from public.alert_subscriptions limit 1000) as s
