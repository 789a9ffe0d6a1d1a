-- Removes the dispatcher, the watchdog and their history. The jobs that call
-- them, the vault secrets and the application's logs are not in this schema.
drop schema if exists auto_backup cascade;
