-- What stands in the application's schemas, one row a thing: what it is, the words that make it, those that take it away.
--
-- Read with an empty search_path, so that every expression comes back with its schemas. Things of extensions, of PostgreSQL itself
-- and of schema tenantry are left out. `body` is compared; `makes` and `drops` are SQL; `detail` is what an alteration needs to know;
-- `phrase` names the thing in COMMENT ON, OWNER TO and GRANT.
with spaces as (
    select n.oid, n.nspname, n.nspowner, n.nspacl
      from pg_catalog.pg_namespace n
     where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'tenantry')
), strange as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), relations as (
    select c.oid, c.relname, c.relkind, c.relowner, c.relacl, c.relispartition, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence,
           c.reloptions, c.relpartbound, format('%I.%I', s.nspname, c.relname) as named
      from pg_catalog.pg_class c
      join spaces s on s.oid = c.relnamespace
     where not exists (select from strange e where e.classid = 'pg_catalog.pg_class'::regclass and e.objid = c.oid)
), routines as (
    select p.*, p.oid::regprocedure::text as named, case p.prokind when 'p' then 'procedure' else 'function' end as word
      from pg_catalog.pg_proc p
      join spaces s on s.oid = p.pronamespace
     where p.prokind in ('f', 'p', 'w')
       and not exists (select from strange e where e.classid = 'pg_catalog.pg_proc'::regclass and e.objid = p.oid)
), types as (
    select t.*, format('%I.%I', s.nspname, t.typname) as named
      from pg_catalog.pg_type t
      join spaces s on s.oid = t.typnamespace
     where (t.typtype in ('e', 'd') or (t.typtype = 'c' and (select c.relkind from pg_catalog.pg_class c where c.oid = t.typrelid) = 'c'))
       and not exists (select from strange e where e.classid = 'pg_catalog.pg_type'::regclass and e.objid = t.oid)
), things as (

    select 'schema' as kind, s.nspname::text as name, null::text as parent, '' as body,
           format('create schema %I', s.nspname) as makes, format('drop schema %I', s.nspname) as drops,
           format('schema %I', s.nspname) as phrase, s.oid, 'pg_catalog.pg_namespace'::regclass as class, 0 as part,
           s.nspowner as owner, s.nspacl as acl, 'n'::"char" as acl_kind, null::jsonb as detail
      from spaces s

    union all
    select 'extension', e.extname::text, null, n.nspname::text,
           format('create extension if not exists %I schema %I', e.extname, n.nspname), format('drop extension %I', e.extname),
           null, e.oid, 'pg_catalog.pg_extension'::regclass, 0, null, null, null, null
      from pg_catalog.pg_extension e
      join pg_catalog.pg_namespace n on n.oid = e.extnamespace
     where e.extname <> 'plpgsql'

    union all
    select 'enum', t.named, null, labels.listed,
           format('create type %s as enum (%s)', t.named, labels.listed), format('drop type %s', t.named),
           'type ' || t.named, t.oid, 'pg_catalog.pg_type'::regclass, 0, t.typowner, t.typacl, 'T', jsonb_build_object('labels', labels.labels)
      from types t,
           lateral (select string_agg(quote_literal(l.enumlabel), ', ' order by l.enumsortorder) as listed,
                           jsonb_agg(l.enumlabel order by l.enumsortorder) as labels
                      from pg_catalog.pg_enum l where l.enumtypid = t.oid) labels
     where t.typtype = 'e'

    union all
    select 'domain', t.named, null, d.words, format('create domain %s as %s', t.named, d.words), format('drop domain %s', t.named),
           'domain ' || t.named, t.oid, 'pg_catalog.pg_type'::regclass, 0, t.typowner, t.typacl, 'T', null
      from types t,
           lateral (select format_type(t.typbasetype, t.typtypmod) || coalesce(' default ' || t.typdefault, '')
                           || case when t.typnotnull then ' not null' else '' end
                           || coalesce((select string_agg(format(' constraint %I %s', k.conname, pg_get_constraintdef(k.oid)), '' order by k.conname)
                                          from pg_catalog.pg_constraint k where k.contypid = t.oid and k.contype = 'c'), '') as words) d
     where t.typtype = 'd'

    union all
    select 'composite type', t.named, null, f.listed, format('create type %s as (%s)', t.named, f.listed), format('drop type %s', t.named),
           'type ' || t.named, t.oid, 'pg_catalog.pg_type'::regclass, 0, t.typowner, t.typacl, 'T', null
      from types t,
           lateral (select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum) as listed
                      from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) f
     where t.typtype = 'c'

    union all
    select 'sequence', r.named, null, words.how, format('create sequence %s %s', r.named, words.how), format('drop sequence if exists %s', r.named),
           'sequence ' || r.named, r.oid, 'pg_catalog.pg_class'::regclass, 0, r.relowner, r.relacl, 's', jsonb_build_object('how', words.how)
      from relations r
      join pg_catalog.pg_sequence q on q.seqrelid = r.oid,
           lateral (select format('as %s increment by %s minvalue %s maxvalue %s start with %s cache %s%s', q.seqtypid::regtype, q.seqincrement,
                                  q.seqmin, q.seqmax, q.seqstart, q.seqcache, case when q.seqcycle then ' cycle' else ' no cycle' end) as how) words
     where r.relkind = 'S'
       and not exists (select from pg_catalog.pg_depend d
                        where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = r.oid and d.deptype = 'i')

    union all
    select 'owned sequence', r.named, 'sequence ' || r.named, o.named || '.' || quote_ident(a.attname),
           format('alter sequence %s owned by %s.%I', r.named, o.named, a.attname), format('alter sequence %s owned by none', r.named),
           null, r.oid, 'pg_catalog.pg_class'::regclass, 0, null, null, null, null
      from relations r
      join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = r.oid and d.deptype = 'a' and d.refobjsubid > 0
      join relations o on o.oid = d.refobjid
      join pg_catalog.pg_attribute a on a.attrelid = o.oid and a.attnum = d.refobjsubid
     where r.relkind = 'S'

    union all
    select 'table', r.named, null,
           case r.relpersistence when 'u' then 'unlogged ' else '' end || more.suffix || coalesce(' with (' || array_to_string(r.reloptions, ', ') || ')', ''),
           null, format('drop table %s', r.named), 'table ' || r.named, r.oid, 'pg_catalog.pg_class'::regclass, 0, r.relowner, r.relacl, 'r',
           jsonb_build_object('unlogged', r.relpersistence = 'u', 'suffix', more.suffix, 'partition_of', more.parent, 'bound', more.bound,
                              'options', coalesce(array_to_string(r.reloptions, ', '), ''))
      from relations r,
           lateral (select case when r.relkind = 'p' then ' partition by ' || pg_get_partkeydef(r.oid) else '' end
                           || case when r.relispartition then '' else coalesce((
                                  select ' inherits (' || string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno) || ')'
                                    from pg_catalog.pg_inherits i where i.inhrelid = r.oid), '') end as suffix,
                           case when r.relispartition then (select i.inhparent::regclass::text from pg_catalog.pg_inherits i where i.inhrelid = r.oid) end as parent,
                           pg_get_expr(r.relpartbound, r.oid) as bound) more
     where r.relkind in ('r', 'p')

    union all
    select 'column', r.named || '.' || quote_ident(a.attname), 'table ' || r.named, w.type || w.rest,
           format('alter table %s add column %I %s%s', r.named, a.attname, w.type, w.rest), format('alter table %s drop column %I', r.named, a.attname),
           format('column %s.%I', r.named, a.attname), r.oid, 'pg_catalog.pg_class'::regclass, a.attnum, null, a.attacl, 'c',
           jsonb_build_object('table', r.named, 'column', quote_ident(a.attname), 'type', w.type, 'not_null', a.attnotnull,
                              'default', case when a.attgenerated = '' then w.expression end, 'generated', a.attgenerated, 'identity', a.attidentity,
                              'words', format('%I %s%s', a.attname, w.type, w.rest))
      from relations r
      join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped and (a.attislocal or a.attinhcount = 0)
      left join pg_catalog.pg_attrdef f on f.adrelid = r.oid and f.adnum = a.attnum,
           lateral (select format_type(a.atttypid, a.atttypmod)
                           || case when a.attcollation <> (select t.typcollation from pg_catalog.pg_type t where t.oid = a.atttypid)
                                   then ' collate ' || a.attcollation::regcollation::text else '' end as type,
                           pg_get_expr(f.adbin, f.adrelid) as expression,
                           case a.attgenerated when 's' then format(' generated always as (%s) stored', pg_get_expr(f.adbin, f.adrelid))
                                               when 'v' then format(' generated always as (%s) virtual', pg_get_expr(f.adbin, f.adrelid))
                                               else coalesce(' default ' || pg_get_expr(f.adbin, f.adrelid), '') end
                           || case a.attidentity when 'a' then ' generated always as identity' when 'd' then ' generated by default as identity' else '' end
                           || case when a.attnotnull then ' not null' else '' end as rest) w
     where r.relkind in ('r', 'p') and not r.relispartition

    union all
    select case k.contype when 'f' then 'foreign key' else 'constraint' end, r.named || '.' || quote_ident(k.conname), 'table ' || r.named,
           pg_get_constraintdef(k.oid),
           format('alter table %s add constraint %I %s', r.named, k.conname, pg_get_constraintdef(k.oid)),
           format('alter table %s drop constraint %I', r.named, k.conname), format('constraint %I on %s', k.conname, r.named),
           k.oid, 'pg_catalog.pg_constraint'::regclass, 0, null, null, null, null
      from relations r
      join pg_catalog.pg_constraint k on k.conrelid = r.oid
     where k.contype in ('p', 'u', 'c', 'f', 'x') and k.conparentid = 0 and k.conislocal

    union all
    select 'index', i.named, case r.relkind when 'm' then 'materialized view ' else 'table ' end || r.named, pg_get_indexdef(i.oid), pg_get_indexdef(i.oid),
           format('drop index %s', i.named), 'index ' || i.named, i.oid, 'pg_catalog.pg_class'::regclass, 0, null, null, null, null
      from relations i
      join pg_catalog.pg_index x on x.indexrelid = i.oid
      join relations r on r.oid = x.indrelid
     where i.relkind in ('i', 'I') and not i.relispartition
       and not exists (select from pg_catalog.pg_constraint k where k.conindid = i.oid and k.contype in ('p', 'u', 'x'))

    union all
    select case when exists (
                    -- Needed by a default, a check, a generated column or an index expression: it is made before the tables.
                    select from pg_catalog.pg_depend d
                     where d.refclassid = 'pg_catalog.pg_proc'::regclass and d.refobjid = p.oid
                       and d.classid in ('pg_catalog.pg_attrdef'::regclass, 'pg_catalog.pg_constraint'::regclass, 'pg_catalog.pg_type'::regclass,
                                         'pg_catalog.pg_class'::regclass)) then 'early ' else '' end || 'function',
           p.named, null, pg_get_functiondef(p.oid), pg_get_functiondef(p.oid), format('drop %s %s', p.word, p.named),
           p.word || ' ' || p.named, p.oid, 'pg_catalog.pg_proc'::regclass, 0, p.proowner, p.proacl, 'f',
           jsonb_build_object('result', pg_get_function_result(p.oid), 'arguments', pg_get_function_arguments(p.oid), 'word', p.word)
      from routines p

    union all
    select case r.relkind when 'v' then 'view' else 'materialized view' end, r.named, null, w.words || pg_get_viewdef(r.oid),
           format('create %s %s%s as%s%s', case r.relkind when 'v' then 'view' else 'materialized view' end, r.named, w.words, E'\n',
                  rtrim(pg_get_viewdef(r.oid), ';')),
           format('drop %s %s', case r.relkind when 'v' then 'view' else 'materialized view' end, r.named),
           case r.relkind when 'v' then 'view ' else 'materialized view ' end || r.named, r.oid, 'pg_catalog.pg_class'::regclass, 0, r.relowner, r.relacl, 'r',
           jsonb_build_object('columns', (select jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) order by a.attnum)
                                            from pg_catalog.pg_attribute a where a.attrelid = r.oid and a.attnum > 0))
      from relations r,
           lateral (select coalesce(' with (' || array_to_string(r.reloptions, ', ') || ')', '') as words) w
     where r.relkind in ('v', 'm')

    union all
    select 'trigger', r.named || '.' || quote_ident(t.tgname), case r.relkind when 'v' then 'view ' else 'table ' end || r.named,
           pg_get_triggerdef(t.oid) || coalesce(s.state, ''),
           pg_get_triggerdef(t.oid) || case when s.state is null then '' else format(E';\nalter table %s %s trigger %I', r.named, s.state, t.tgname) end,
           format('drop trigger %I on %s', t.tgname, r.named), format('trigger %I on %s', t.tgname, r.named), t.oid,
           'pg_catalog.pg_trigger'::regclass, 0, null, null, null, null
      from relations r
      join pg_catalog.pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal and t.tgparentid = 0,
           lateral (select case t.tgenabled when 'D' then 'disable' when 'A' then 'enable always' when 'R' then 'enable replica' end as state) s

    union all
    select 'rule', r.named || '.' || quote_ident(u.rulename), case r.relkind when 'v' then 'view ' else 'table ' end || r.named, pg_get_ruledef(u.oid),
           rtrim(pg_get_ruledef(u.oid), ';'), format('drop rule %I on %s', u.rulename, r.named), format('rule %I on %s', u.rulename, r.named),
           u.oid, 'pg_catalog.pg_rewrite'::regclass, 0, null, null, null, null
      from relations r
      join pg_catalog.pg_rewrite u on u.ev_class = r.oid and u.rulename <> '_RETURN'

    union all
    select 'statistics', format('%I.%I', s.nspname, x.stxname), 'table ' || x.stxrelid::regclass::text, pg_get_statisticsobjdef(x.oid),
           pg_get_statisticsobjdef(x.oid), format('drop statistics %I.%I', s.nspname, x.stxname), format('statistics %I.%I', s.nspname, x.stxname),
           x.oid, 'pg_catalog.pg_statistic_ext'::regclass, 0, null, null, null, null
      from pg_catalog.pg_statistic_ext x
      join spaces s on s.oid = x.stxnamespace

    union all
    select 'row security', r.named, 'table ' || r.named, e.able || ', ' || f.force,
           format('alter table %s %s row level security, %s row level security', r.named, e.able, f.force), null, null,
           r.oid, 'pg_catalog.pg_class'::regclass, 0, null, null, null, null
      from relations r,
           lateral (select case when r.relrowsecurity then 'enable' else 'disable' end as able) e,
           lateral (select case when r.relforcerowsecurity then 'force' else 'no force' end as force) f
     where r.relkind in ('r', 'p')

    union all
    select 'policy', r.named || '.' || quote_ident(p.polname), 'table ' || r.named, w.words,
           format('create policy %I on %s %s', p.polname, r.named, w.words), format('drop policy %I on %s', p.polname, r.named),
           format('policy %I on %s', p.polname, r.named), p.oid, 'pg_catalog.pg_policy'::regclass, 0, null, null, null, null
      from relations r
      join pg_catalog.pg_policy p on p.polrelid = r.oid,
           lateral (select format('as %s for %s to %s', case when p.polpermissive then 'permissive' else 'restrictive' end,
                                  case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
                                  (select string_agg(case when m.oid = 0 then 'public' else quote_ident(pg_get_userbyid(m.oid)) end, ', '
                                                     order by pg_get_userbyid(m.oid))
                                     from unnest(p.polroles) m (oid)))
                           || coalesce(' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
                           || coalesce(' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') as words) w
)
select t.kind, t.name, t.parent, t.body, t.makes, t.drops, t.phrase, t.detail::text,
       obj_description_of.says as comment,
       case when t.owner is not null then pg_get_userbyid(t.owner)::text end as owner,
       (
           select jsonb_object_agg(g.grantee, g.privileges)
             from (
                 select case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
                        jsonb_agg(lower(a.privilege_type) || case when a.is_grantable then '*' else '' end order by a.privilege_type) as privileges
                   from aclexplode(case when t.acl_kind = 'c' then t.acl else coalesce(t.acl, acldefault(t.acl_kind, t.owner)) end) a
                  where a.grantee is distinct from t.owner
                  group by a.grantee
             ) g
       )::text as grants,
       t.oid::bigint as oid, t.part
  from things t
  left join lateral (
      select d.description as says from pg_catalog.pg_description d
       where d.classoid = t.class and d.objoid = t.oid and d.objsubid = t.part and t.phrase is not null
  ) obj_description_of on true
