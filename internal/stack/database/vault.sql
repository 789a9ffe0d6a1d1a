-- The extension supabase_vault 0.3.1, as a stand-in in SQL: the same functions,
-- table, view, privileges and habits; cron.sql grants what Supabase's script does.
-- Values are encrypted for real, with AES-256 and an HMAC over nonce, row id and
-- ciphertext, by pgcrypto instead of libsodium, with a root key that is not in the
-- database: a file which only the server reads. Left out: the key ids and contexts,
-- of which 0.3 uses one each.
--
-- The original's functions in C know the key whoever calls them. Functions in SQL
-- must be their owner's to read it, so these three do the work, in another schema.

create function extensions.vault_key(purpose text) returns bytea
  language plpgsql stable security definer set search_path = ''
  as $$
begin
  return extensions.hmac(
    pg_catalog.convert_to(purpose, 'utf8'),
    pg_catalog.decode(pg_catalog.pg_read_file(pg_catalog.current_setting('data_directory') || '/../vault-root-key'), 'hex'),
    'sha256');
end
$$;

create function extensions.vault_encrypt(message bytea, additional bytea, nonce bytea) returns bytea
  language plpgsql stable security definer set search_path = ''
  as $$
declare
  ciphertext bytea;
begin
  if message is null then
    raise exception using errcode = '22000', message = 'pgsodium_crypto_aead_det_encrypt_by_id: message cannot be NULL';
  end if;
  if pg_catalog.octet_length(nonce) <> 16 then
    raise exception using errcode = '22000', message = 'pgsodium_crypto_aead_det_encrypt_by_id: invalid nonce';
  end if;
  ciphertext := extensions.encrypt_iv(message, extensions.vault_key('encryption'), coalesce(nonce, ''), 'aes');
  return extensions.hmac(
    coalesce(nonce, '') || coalesce(additional, '') || ciphertext, extensions.vault_key('authentication'), 'sha256'
  ) || ciphertext;
end
$$;

create function extensions.vault_decrypt(message bytea, additional bytea, nonce bytea) returns bytea
  language plpgsql stable security definer set search_path = ''
  as $$
declare
  tag bytea := pg_catalog.substring(message, 1, 32);
  ciphertext bytea := pg_catalog.substring(message, 33);
  refused text := case
    when message is null then 'message cannot be NULL'
    when pg_catalog.octet_length(nonce) <> 16 then 'invalid nonce'
    when pg_catalog.octet_length(message) < 32 then 'invalid message'
    when tag <> extensions.hmac(
      coalesce(nonce, '') || coalesce(additional, '') || ciphertext, extensions.vault_key('authentication'), 'sha256')
      then 'invalid ciphertext'
  end;
begin
  if refused is not null then
    raise exception using errcode = '22000', message = 'pgsodium_crypto_aead_det_decrypt_by_id: ' || refused;
  end if;
  return extensions.decrypt_iv(ciphertext, extensions.vault_key('encryption'), coalesce(nonce, ''), 'aes');
end
$$;

revoke all on function extensions.vault_key, extensions.vault_encrypt, extensions.vault_decrypt from public;
grant execute on function extensions.vault_decrypt to postgres, service_role;

-- Immutable, though they are not, as the original: which is why an INSERT into
-- vault.secrets fails for want of EXECUTE on the first one, at planning, before
-- the table's own privileges are looked at.
create function vault._crypto_aead_det_noncegen() returns bytea
  language plpgsql immutable
  as $$
begin
  return extensions.gen_random_bytes(16);
end
$$;

create function vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint, context bytea = 'pgsodium', nonce bytea = null
) returns bytea
  language plpgsql immutable
  as $$
begin
  return extensions.vault_encrypt(message, additional, nonce);
end
$$;

create function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea = 'pgsodium', nonce bytea = null
) returns bytea
  language plpgsql immutable
  as $$
begin
  return extensions.vault_decrypt(message, additional, nonce);
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

revoke all on function
  vault._crypto_aead_det_encrypt, vault._crypto_aead_det_decrypt, vault._crypto_aead_det_noncegen,
  vault.create_secret, vault.update_secret
  from public;

select pg_catalog.pg_extension_config_dump('vault.secrets', '');
