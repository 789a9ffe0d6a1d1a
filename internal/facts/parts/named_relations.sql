-- name: named_relations
-- Every relation whose name occurs in the code, with its schema.
-- kind: value
-- with: relation
select jsonb_agg(jsonb_build_array(r.nspname, r.relname)) from relation r where r.named
