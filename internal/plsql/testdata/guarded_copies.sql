<<outer_block>>
DECLARE
  v_backup   CONSTANT uuid NOT NULL := gen_random_uuid();
  v_row      record;
  "Total"    bigint := 0;
  names      text[] := ARRAY['articles', 'comments'];
BEGIN
  -- A table of its own, and one that may be missing.
  CREATE TEMPORARY TABLE IF NOT EXISTS batch ON COMMIT DROP AS SELECT a.id FROM public.articles AS a;
  BEGIN
    INSERT INTO archive.copies AS c (backup_id, original_id, "Title", tags)
    SELECT v_backup, a.id, a."Title", a.tags::text[] AS tags
    FROM ONLY public.articles a
    WHERE EXISTS (SELECT 1 FROM batch b WHERE b.id = a.id)
    ON CONFLICT ON CONSTRAINT copies_once DO NOTHING;
    GET DIAGNOSTICS "Total" = ROW_COUNT;
  EXCEPTION
    WHEN undefined_table THEN
      RAISE NOTICE 'sem arquivo: %', SQLERRM;
  END;
  FOR v_row IN SELECT * FROM comments c JOIN users USING (user_id), LATERAL jsonb_each(c.data) AS e LOOP
    UPDATE ONLY statistics SET rows = rows + 1 WHERE name = 'comments';
    CASE WHEN v_row.id IS NULL THEN CONTINUE; ELSE NULL; END CASE;
  END LOOP;
  WITH old (id) AS MATERIALIZED (DELETE FROM latest WHERE true RETURNING id), fresh AS NOT MATERIALIZED (SELECT * FROM pages)
  INSERT INTO latest SELECT DISTINCT f.* FROM fresh f LEFT JOIN old ON old.id = f.id;
  INSERT INTO totals (name, n) VALUES ('copies', "Total"), (E'it\'s', 1);
  PERFORM audit.note('feito', v_backup), pg_notify('x', $tag$nada de insert into ghost$tag$);
  CALL refresh_all();
  DELETE FROM queue;
  TRUNCATE scratch, ONLY public.scratch_two CASCADE;
  IF to_regclass('public.optional') IS NOT NULL THEN
    EXECUTE format('INSERT INTO %I SELECT 1', 'optional');
  END IF;
  RETURN jsonb_build_object('backup_id', v_backup, 'total', "Total", 'since', EXTRACT(EPOCH FROM now()));
EXCEPTION WHEN others THEN
  RAISE EXCEPTION 'falhou: %', SQLERRM USING ERRCODE = 'P0001';
END outer_block;
