-- The extension supabase_vault 0.3.1, as a stand-in in SQL: the same functions,
-- table, view, grants and habits. Values are encrypted for real, with AES-256 and
-- an HMAC over nonce, row id and ciphertext, by pgcrypto instead of libsodium,
-- with a root key that is not in the database: a file which only the server
-- reads. Left out: the key ids, which 0.3 ignores too.

create function vault._root_key(purpose text) returns bytea
  language plpgsql stable security definer set search_path = ''
  as $$
begin
  return extensions.hmac(
    pg_catalog.convert_to(purpose, 'utf8'),
    pg_catalog.decode(pg_catalog.pg_read_file(pg_catalog.current_setting('data_directory') || '/../vault-root-key'), 'hex'),
    'sha256');
end
$$;

-- Immutable, though it is not, as the original: which is why an INSERT into
-- vault.secrets fails for want of this function's EXECUTE, at planning, before
-- the table's own privileges are looked at.
create function vault._crypto_aead_det_noncegen() returns bytea
  language plpgsql immutable security definer set search_path = ''
  as $$
begin
  return extensions.gen_random_bytes(16);
end
$$;

create function vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint, context bytea = 'pgsodium', nonce bytea = null
) returns bytea
  language plpgsql stable security definer set search_path = ''
  as $$
declare
  ciphertext bytea := extensions.encrypt_iv(message, vault._root_key('encryption'), nonce, 'aes');
begin
  return extensions.hmac(nonce || additional || ciphertext, vault._root_key('authentication'), 'sha256') || ciphertext;
end
$$;

create function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea = 'pgsodium', nonce bytea = null
) returns bytea
  language plpgsql stable security definer set search_path = ''
  as $$
declare
  tag bytea := pg_catalog.substring(message, 1, 32);
  ciphertext bytea := pg_catalog.substring(message, 33);
begin
  if tag is distinct from
     extensions.hmac(nonce || additional || ciphertext, vault._root_key('authentication'), 'sha256') then
    raise exception using
      errcode = '22000',
      message = 'pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext';
  end if;
  return extensions.decrypt_iv(ciphertext, vault._root_key('encryption'), nonce, 'aes');
end
$$;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default vault._crypto_aead_det_noncegen(),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);
comment on table vault.secrets is 'Secrets, encrypted in the column secret.';

create unique index secrets_name_idx on vault.secrets (name) where name is not null;

create view vault.decrypted_secrets as
  select
    s.id, s.name, s.description, s.secret,
    convert_from(
      vault._crypto_aead_det_decrypt(
        message := decode(s.secret, 'base64'),
        additional := convert_to(s.id::text, 'utf8'),
        key_id := 0,
        context := 'pgsodium'::bytea,
        nonce := s.nonce),
      'utf8') as decrypted_secret,
    s.key_id, s.nonce, s.created_at, s.updated_at
  from vault.secrets s;

-- Two statements as in the original, which leaves a dead row with the plain
-- value until the next vacuum.
create function vault.create_secret(
  new_secret text, new_name text = null, new_description text = '', new_key_id uuid = null
) returns uuid
  language plpgsql security definer set search_path = ''
  as $$
declare
  created vault.secrets;
begin
  insert into vault.secrets (secret, name, description)
  values (new_secret, new_name, new_description)
  returning * into created;

  update vault.secrets s
  set secret = pg_catalog.encode(vault._crypto_aead_det_encrypt(
    message := pg_catalog.convert_to(created.secret, 'utf8'),
    additional := pg_catalog.convert_to(s.id::text, 'utf8'),
    key_id := 0,
    context := 'pgsodium'::bytea,
    nonce := created.nonce), 'base64')
  where s.id = created.id;

  return created.id;
end
$$;

-- Decrypts the old value first, as the original, even if it is to be replaced: a
-- secret of another root key cannot be updated, only deleted.
create function vault.update_secret(
  secret_id uuid, new_secret text = null, new_name text = null, new_description text = null, new_key_id uuid = null
) returns void
  language plpgsql security definer set search_path = ''
  as $$
declare
  decrypted_secret text := (select d.decrypted_secret from vault.decrypted_secrets d where d.id = secret_id);
begin
  update vault.secrets s
  set
    secret = case when new_secret is null then s.secret
      else pg_catalog.encode(vault._crypto_aead_det_encrypt(
        message := pg_catalog.convert_to(new_secret, 'utf8'),
        additional := pg_catalog.convert_to(s.id::text, 'utf8'),
        key_id := 0,
        context := 'pgsodium'::bytea,
        nonce := s.nonce), 'base64')
      end,
    name = coalesce(new_name, s.name),
    description = coalesce(new_description, s.description),
    updated_at = pg_catalog.now()
  where s.id = secret_id;
end
$$;

revoke all on all functions in schema vault from public;
grant usage on schema vault to postgres with grant option;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres with grant option;
grant execute on function
  vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
  to postgres with grant option;
grant usage on schema vault to service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;
grant execute on function
  vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
  to service_role;

select pg_catalog.pg_extension_config_dump('vault.secrets', '');
