-- The extension pg_net 0.20.4, as a stand-in in SQL: the same tables, types,
-- functions, defaults and grants. Its background worker is the stack's own
-- (pgnet.go), which is woken by a notification instead of a latch: it comes with
-- the commit, too. Left out: that the worker shows as a background worker in
-- pg_stat_activity (here it is a client of its name), and URLs are checked and
-- put together by a pattern instead of libcurl's parser.

create schema net;

create domain net.http_method as text
  check (value ilike 'get' or value ilike 'post' or value ilike 'delete');

create unlogged table net.http_request_queue (
  id bigserial,
  method net.http_method not null,
  url text not null,
  headers jsonb,
  body bytea,
  timeout_milliseconds int not null
);

create unlogged table net._http_response (
  id bigint,
  status_code int,
  content_type text,
  headers jsonb,
  content text,
  timed_out bool,
  error_msg text,
  created timestamptz not null default now()
);
create index on net._http_response (created);

create function net.check_worker_is_up() returns void
  language plpgsql as $$
begin
  if not exists (select from pg_catalog.pg_stat_activity where application_name like 'pg\_net %') then
    raise exception using
      message = 'the pg_net background worker is not up',
      detail = 'the pg_net background worker is down due to an internal error and cannot process requests',
      hint = 'make sure that you didn''t modify any of pg_net internal tables';
  end if;
end
$$;

create function net.wake() returns void
  language sql as $$ select pg_catalog.pg_notify('pg_net', 'wake') $$;

create function net.worker_restart() returns bool
  language sql as $$ select true from pg_catalog.pg_notify('pg_net', 'restart') $$;

create function net.wait_until_running() returns void
  language plpgsql as $$
begin
  loop
    perform pg_catalog.pg_stat_clear_snapshot();
    exit when exists (select from pg_catalog.pg_stat_activity where application_name like 'pg\_net %');
    perform pg_catalog.pg_sleep(0.01);
  end loop;
end
$$;

create function net._urlencode_string(string varchar) returns text
  language sql immutable as $$
  select case when string is not null then coalesce(string_agg(
    case when chr(byte) ~ '[A-Za-z0-9._~-]' and byte < 128 then chr(byte)
      else '%' || upper(lpad(to_hex(byte), 2, '0')) end,
    '' order by position), '') end
  from (
    select position, get_byte(encoded, position) as byte
    from (select convert_to(string, 'UTF8')) e (encoded),
      generate_series(0, octet_length(encoded) - 1) position
  ) bytes
  $$;

create function net._encode_url_with_params_array(url text, params_array text[]) returns text
  language plpgsql immutable as $$
declare
  -- libcurl writes what is already encoded in small letters.
  params text := (
    select coalesce(string_agg(case when part ~ '^%' then lower(part) else part end, '' order by position), '')
    from regexp_matches(array_to_string(params_array, '&'), '%[0-9A-Fa-f]{2}|[^%]+|%', 'g') with ordinality m (parts, position),
      unnest(m.parts) part
  );
  parts text[] := regexp_match(url, '^([A-Za-z][A-Za-z0-9+.-]*://[^/?#]+)(/[^?#]*)?(\?[^#]*)?(#.*)?$');
begin
  if url is null or params_array is null then
    return null;
  end if;
  if parts is null then
    raise exception using
      errcode = 'XX000',
      message = format('invalid URL "%s": Bad scheme', url);
  end if;
  return parts[1] || coalesce(parts[2], '/')
    || case
      when params = '' then coalesce(parts[3], '')
      when parts[3] is null or parts[3] = '?' then '?' || params
      else parts[3] || '&' || params
    end
    || coalesce(parts[4], '');
end
$$;

create function net.http_get(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000
) returns bigint
  language plpgsql as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
  values ('GET', net._encode_url_with_params_array(url, (
    select coalesce(array_agg(net._urlencode_string(p.key) || '=' || net._urlencode_string(p.value)), '{}')
    from jsonb_each_text(params) p)), headers, timeout_milliseconds)
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_post(
  url text,
  body jsonb default '{}',
  params jsonb default '{}',
  headers jsonb default '{"Content-Type": "application/json"}',
  timeout_milliseconds int default 5000
) returns bigint
  language plpgsql as $$
declare
  request_id bigint;
  content_type text := (
    select value from jsonb_each_text(headers) where lower(key) = 'content-type' limit 1
  );
begin
  if content_type is null then
    headers := headers || '{"Content-Type": "application/json"}';
  end if;
  if content_type <> 'application/json' then
    raise exception 'Content-Type header must be "application/json"';
  end if;

  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values ('POST', net._encode_url_with_params_array(url, (
    select coalesce(array_agg(net._urlencode_string(p.key) || '=' || net._urlencode_string(p.value)), '{}')
    from jsonb_each_text(params) p)), headers,
    convert_to(body::text, 'UTF8'), timeout_milliseconds)
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create function net.http_delete(
  url text, params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000,
  body jsonb default null
) returns bigint
  language plpgsql as $$
declare
  request_id bigint;
begin
  insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
  values ('DELETE', net._encode_url_with_params_array(url, (
    select coalesce(array_agg(net._urlencode_string(p.key) || '=' || net._urlencode_string(p.value)), '{}')
    from jsonb_each_text(params) p)), headers,
    convert_to(body::text, 'UTF8'), timeout_milliseconds)
  returning id into request_id;
  perform net.wake();
  return request_id;
end
$$;

create type net.request_status as enum ('PENDING', 'SUCCESS', 'ERROR');
create type net.http_response as (status_code int, headers jsonb, body text);
create type net.http_response_result as (status net.request_status, message text, response net.http_response);

create function net._await_response(request_id bigint) returns bool
  language plpgsql as $$
begin
  while not exists (select from net._http_response where id = request_id) loop
    perform pg_catalog.pg_sleep(0.05);
  end loop;
  return true;
end
$$;

create function net._http_collect_response(request_id bigint, async bool default true)
  returns net.http_response_result
  language plpgsql as $$
declare
  found_response net._http_response;
begin
  if not async then
    perform net._await_response(request_id);
  end if;
  select * into found_response from net._http_response where id = request_id;
  if not found or found_response.error_msg is not null then
    return row('ERROR', coalesce(found_response.error_msg, 'request matching request_id not found'), null)::net.http_response_result;
  end if;
  return row('SUCCESS', 'ok',
    row(found_response.status_code, found_response.headers, found_response.content)::net.http_response
  )::net.http_response_result;
end
$$;

-- It always fails, as the original: its result has nowhere to go.
create function net.http_collect_response(request_id bigint, async bool default true)
  returns net.http_response_result
  language plpgsql as $$
begin
  raise notice 'The net.http_collect_response function is deprecated.';
  select net._http_collect_response(request_id, async);
end
$$;

comment on function net.check_worker_is_up is 'raises an exception if the pg_net background worker is not up, otherwise it doesn''t return anything';
comment on function net.wait_until_running is 'waits until the worker is running';

grant usage on schema net to public;
grant all on all sequences in schema net to public;
grant all on all tables in schema net to public;
