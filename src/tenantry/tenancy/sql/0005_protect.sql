-- tenantry.protect(), share(), unprotect(): the only three ways in which a table of schema public comes to be.
--
-- What was asked for stands in tenantry.protected. The functions run with the rights of who calls them: a migration,
-- acting as tenantry_owner.

set local role tenantry_owner;

-- ------------------------------------------------------------------ the parts

create or replace function tenantry.columns_of(t regclass, numbers smallint[]) returns text
    language sql stable parallel safe set search_path = ''
    return (
        select pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by k.place)
          from pg_catalog.unnest(numbers) with ordinality as k (number, place)
          join pg_catalog.pg_attribute a on a.attrelid = t and a.attnum = k.number
    );
comment on function tenantry.columns_of(regclass, smallint[]) is 'Column numbers of a table as a quoted list, in their order.';

create or replace function tenantry.column_number(t regclass, named name) returns smallint
    language sql stable parallel safe set search_path = ''
    return (
        select a.attnum from pg_catalog.pg_attribute a where a.attrelid = t and a.attname = named and not a.attisdropped
    );
comment on function tenantry.column_number(regclass, name) is 'A column''s number; null if there is none of the name.';

create or replace function tenantry.fresh_name(t regclass, suffix text) returns name
    language sql stable parallel safe set search_path = ''
    return (
        select pg_catalog."left"(c.relname, 62 - pg_catalog.length(suffix)) || '_' || suffix
          from pg_catalog.pg_class c
         where c.oid = t
    )::name;
comment on function tenantry.fresh_name(regclass, text) is 'table_suffix, cut to what a name may have: constraints and indexes are named by one pattern.';

create or replace function tenantry.check_protectable(t regclass) returns void
    language plpgsql set search_path = ''
as $$
declare
    found pg_catalog.pg_class;
begin
    select * into found from pg_catalog.pg_class c where c.oid = t;
    if found.oid is null then
        raise exception 'there is no table with oid %', t::oid
            using errcode = 'undefined_table';
    end if;
    if found.relnamespace <> 'public'::regnamespace or found.relkind not in ('r', 'p') or found.relispartition
       or exists (select from pg_catalog.pg_inherits i where i.inhrelid = t) then
        raise exception 'tenantry: "%" is not a root table of schema public', t
            using errcode = 'wrong_object_type',
                  hint = 'Protect the parent; partitions and children are reached through it only. Views: create view … with (security_invoker = true).';
    end if;
    if found.relowner <> 'tenantry_owner'::regrole then
        raise exception 'tenantry: "%" belongs to "%", and must belong to tenantry_owner', t, found.relowner::regrole
            using errcode = 'insufficient_privilege',
                  hint = pg_catalog.format('Make tables by: tenantry db push   or: alter table %s owner to tenantry_owner;', t);
    end if;
    if found.relname ~ '^auth_' or exists (select from tenantry.grants g where g.relation = t) then
        raise exception 'tenantry: "%" is Tenantry''s own, or named like one', t
            using errcode = 'reserved_name', hint = 'Names that begin with auth_, and users, are reserved: choose another.';
    end if;
end
$$;
comment on function tenantry.check_protectable(regclass) is 'Raises, with the remedy, unless this is a root table of schema public that tenantry_owner owns.';

-- Step 2 and 3: the column, its default, its foreign key. No cascade: deleting a tenant is a batched job, not one statement.
create or replace function tenantry.protect_column(t regclass) returns void
    language plpgsql set search_path = ''
as $$
declare
    type pg_catalog.regtype;
    has_rows boolean;
begin
    select a.atttypid into type
      from pg_catalog.pg_attribute a
     where a.attrelid = t and a.attname = 'tenant_id' and not a.attisdropped;
    if type is null then
        execute pg_catalog.format('select exists (select from %s)', t) into has_rows;
        if has_rows then
            raise exception 'tenantry: "%" has rows, and no tenant_id says whose they are', t
                using errcode = 'not_null_violation',
                      hint = pg_catalog.format('First: alter table %s add column tenant_id uuid;  then fill it, then protect.', t);
        end if;
        execute pg_catalog.format('alter table %s add column tenant_id uuid not null default public.get_current_tenant_id()', t);
    elsif type <> 'uuid'::regtype then
        raise exception 'tenantry: column tenant_id of "%" is %, and must be uuid', t, type
            using errcode = 'datatype_mismatch', hint = 'Rename the column, or change its type, before protecting the table.';
    else
        execute pg_catalog.format(
            'alter table %s alter tenant_id set default public.get_current_tenant_id(), alter tenant_id set not null', t);
    end if;
    if not exists (
        select from pg_catalog.pg_constraint f
         where f.conrelid = t and f.contype = 'f' and f.confrelid = 'tenantry.tenants'::regclass
           and f.conkey = array[tenantry.column_number(t, 'tenant_id')]
    ) then
        execute pg_catalog.format('alter table %s add constraint %I foreign key (tenant_id) references tenantry.tenants',
                                  t, tenantry.fresh_name(t, 'tenant_fk'));
    end if;
end
$$;
comment on function tenantry.protect_column(regclass) is 'protect(), steps 2 and 3: tenant_id, its default, its foreign key.';

-- Step 4. A unique key without the tenant tells that a value exists elsewhere (23505). A random key may stay, for "references t (id)".
create or replace function tenantry.protect_keys(t regclass) returns void
    language plpgsql set search_path = ''
as $$
declare
    tenant constant smallint := tenantry.column_number(t, 'tenant_id');
    key record;
begin
    for key in
        select c.conname, c.contype, c.conindid, tenantry.columns_of(t, c.conkey) as columns,
               pg_catalog.pg_get_constraintdef(c.oid) as definition,
               c.contype = 'p' and (
                   select pg_catalog.bool_and(a.atttypid = 'uuid'::regtype)
                     from pg_catalog.pg_attribute a
                    where a.attrelid = t and a.attnum = any (c.conkey)) as is_random
          from pg_catalog.pg_constraint c
         where c.conrelid = t and c.contype in ('p', 'u') and c.conparentid = 0 and not tenant = any (c.conkey)
         order by c.contype, c.conname
    loop
        if key.is_random then
            execute pg_catalog.format('alter table %s add constraint %I unique (tenant_id, %s)',
                                      t, tenantry.fresh_name(t, 'tenant_key'), key.columns);
        else
            execute pg_catalog.format('alter table %s drop constraint %I, add constraint %I %s', t, key.conname, key.conname,
                                      pg_catalog.regexp_replace(key.definition, '\(', '(tenant_id, '));
        end if;
    end loop;
    for key in
        select i.indexrelid::regclass as name, pg_catalog.pg_get_indexdef(i.indexrelid) as definition
          from pg_catalog.pg_index i
         where i.indrelid = t and i.indisunique and not tenant = any (i.indkey::smallint[])
           and not exists (select from pg_catalog.pg_constraint c where c.conindid = i.indexrelid and c.conrelid = t)
    loop
        execute pg_catalog.format('drop index %s', key.name);
        execute pg_catalog.regexp_replace(key.definition, ' USING btree \(', ' USING btree (tenant_id, ');
    end loop;
    for key in
        select c.conname
          from pg_catalog.pg_constraint c
         where c.conrelid = t and c.contype = 'x' and not tenant = any (c.conkey)
    loop
        raise exception 'tenantry: exclusion constraint "%" of "%" would hold between tenants', key.conname, t
            using errcode = 'invalid_table_definition',
                  hint = 'Put the tenant in front: exclude using gist (tenant_id with =, …), with column tenant_id uuid and extension btree_gist.';
    end loop;
end
$$;
comment on function tenantry.protect_keys(regclass) is 'protect(), step 4: unique keys hold within a tenant.';

-- Step 5. Foreign keys are checked without row security: a simple one may point into another tenant, and its error tells what exists there.
create or replace function tenantry.composite(f pg_catalog.pg_constraint) returns text
    language sql stable parallel safe set search_path = ''
    return pg_catalog.format(
        'foreign key (tenant_id, %s) references %s (tenant_id, %s)%s%s%s%s%s',
        tenantry.columns_of(f.conrelid, f.conkey), f.confrelid::regclass, tenantry.columns_of(f.confrelid, f.confkey),
        case f.confmatchtype when 'f' then ' match full' else '' end,
        case f.confupdtype when 'c' then ' on update cascade' when 'r' then ' on update restrict' else '' end,
        -- The column list keeps tenant_id out of what is set.
        case f.confdeltype
            when 'c' then ' on delete cascade'
            when 'r' then ' on delete restrict'
            when 'n' then ' on delete set null (' || tenantry.columns_of(f.conrelid, coalesce(f.confdelsetcols, f.conkey)) || ')'
            when 'd' then ' on delete set default (' || tenantry.columns_of(f.conrelid, coalesce(f.confdelsetcols, f.conkey)) || ')'
            else ''
        end,
        case when f.condeferrable then ' deferrable' else '' end,
        case when f.condeferred then ' initially deferred' else '' end
    );
comment on function tenantry.composite(pg_catalog.pg_constraint) is 'A foreign key between protected tables, with the tenant in front.';

create or replace function tenantry.is_protected(t regclass) returns boolean
    language sql stable set search_path = ''
    return exists (select from tenantry.protected p where p.relation = t and p.kind = 'protected');
comment on function tenantry.is_protected(regclass) is 'Whether rows of this table belong to tenants.';

create or replace function tenantry.index_reference(t regclass, numbers smallint[]) returns void
    language plpgsql set search_path = ''
as $$
declare
    wanted constant smallint[] := array[tenantry.column_number(t, 'tenant_id')] || numbers;
begin
    if exists (
        select from pg_catalog.pg_index i
         where i.indrelid = t and i.indisvalid and i.indpred is null
           -- indkey counts from 0
           and (i.indkey::smallint[])[0 : pg_catalog.cardinality(wanted) - 1] = wanted
    ) then
        return;
    end if;
    execute pg_catalog.format('create index on %s (%s)', t, tenantry.columns_of(t, wanted));
end
$$;
comment on function tenantry.index_reference(regclass, smallint[]) is 'An index of (tenant_id, columns), unless one begins so.';

-- Both directions: keys of this table, and keys of protected tables that point at it (made before it was protected).
create or replace function tenantry.protect_references(t regclass) returns void
    language plpgsql set search_path = ''
as $$
declare
    f pg_catalog.pg_constraint;
    definition text;
begin
    for f in
        select c.*
          from pg_catalog.pg_constraint c
         where c.contype = 'f' and c.conparentid = 0
           and ((c.conrelid = t and (c.confrelid = t or tenantry.is_protected(c.confrelid)))
                or (c.confrelid = t and tenantry.is_protected(c.conrelid)))
           and not tenantry.column_number(c.conrelid, 'tenant_id') = any (c.conkey)
    loop
        perform tenantry.refer_within_tenant(f);
    end loop;
end
$$;
comment on function tenantry.protect_references(regclass) is 'protect(), step 5: foreign keys between protected tables stay within a tenant.';

create or replace function tenantry.refer_within_tenant(f pg_catalog.pg_constraint) returns void
    language plpgsql set search_path = ''
as $$
declare
    definition constant text := tenantry.composite(f);
begin
    execute pg_catalog.format('alter table %s drop constraint %I, add constraint %I %s',
                              f.conrelid::regclass, f.conname, f.conname, definition);
    perform tenantry.index_reference(f.conrelid, f.conkey);
end
$$;
comment on function tenantry.refer_within_tenant(pg_catalog.pg_constraint) is 'Replaces a foreign key by its composite form, and indexes it.';

-- Step 6. One policy a command: a single "for all" policy hides which operation a later change opened.
create or replace function tenantry.protect_rows(t regclass, owner name) returns void
    language plpgsql set search_path = ''
as $$
declare
    -- The sub-select runs once a statement; without it the function would run once a row in a sequential scan.
    own constant text := 'tenant_id = (select public.get_current_tenant_id())';
    act text := own;
begin
    if owner is not null then
        if tenantry.column_number(t, owner) is null then
            raise exception 'tenantry: "%" has no column "%" to own rows by', t, owner using errcode = 'undefined_column',
                hint = pg_catalog.format('Add: %I uuid default tenantry.user_id()', owner);
        end if;
        act := pg_catalog.format('%s and (%I = (select tenantry.user_id()) or (select tenantry.role()) in (''owner'', ''admin''))', own, owner);
    end if;
    execute pg_catalog.format('alter table %s enable row level security, force row level security', t);
    perform tenantry.put_policy(t, 'tenantry_select', 'select', 'platform', own, null, 'Rows of the current tenant are seen.');
    perform tenantry.put_policy(t, 'tenantry_insert', 'insert', 'platform', null, act, 'Rows are born in the current tenant.');
    perform tenantry.put_policy(t, 'tenantry_update', 'update', 'platform', act, act, 'Rows of the current tenant are changed, and stay in it.');
    perform tenantry.put_policy(t, 'tenantry_delete', 'delete', 'platform', act, null, 'Rows of the current tenant are deleted.');
end
$$;
comment on function tenantry.protect_rows(regclass, name) is 'protect(), step 6: row security, forced, and one policy a command.';

-- Step 7. Never TRUNCATE (it ignores row security), REFERENCES, TRIGGER.
create or replace function tenantry.protect_grants(t regclass) returns void
    language plpgsql set search_path = ''
as $$
declare
    serial regclass;
begin
    execute pg_catalog.format('revoke all on %s from public, platform', t);
    execute pg_catalog.format('grant select, insert, update, delete on %s to platform', t);
    if pg_catalog.current_setting('server_version_num')::integer >= 170000 then
        execute pg_catalog.format('grant maintain on %s to platform', t);   -- the runbook's ANALYZE
    end if;
    for serial in
        select d.objid::regclass
          from pg_catalog.pg_depend d
          join pg_catalog.pg_class q on q.oid = d.objid and q.relkind = 'S'
         where d.classid = 'pg_catalog.pg_class'::regclass and d.refobjid = t and d.deptype = 'a'
    loop
        execute pg_catalog.format('grant usage on sequence %s to platform', serial);
        raise warning 'tenantry: sequence % shows every tenant how many rows all of them have made', serial
            using hint = 'Use: id uuid primary key default gen_random_uuid()   or: id bigint generated always as identity primary key';
    end loop;
end
$$;
comment on function tenantry.protect_grants(regclass) is 'protect(), step 7: what platform may do with the table.';

-- ------------------------------------------------------------------ the three

create or replace function tenantry.protect(t regclass, owner name default null) returns void
    language plpgsql set search_path = ''
as $$
begin
    perform pg_catalog.set_config('lock_timeout', '3s', true);
    perform tenantry.check_protectable(t);
    perform tenantry.protect_column(t);
    perform tenantry.protect_keys(t);
    perform tenantry.protect_references(t);
    perform tenantry.protect_rows(t, owner);
    perform tenantry.protect_grants(t);
    insert into tenantry.protected as p (relation, kind, owner_column) values (t, 'protected', owner)
        on conflict on constraint protected_pkey do update set kind = 'protected', owner_column = excluded.owner_column, why = null;
end
$$;
comment on function tenantry.protect(regclass, name) is
    'Makes a table''s rows belong to tenants: tenant_id, keys, foreign keys, forced row security, four policies, grants. May be run again. With owner: only that user, or an admin, may change or remove a row.';

create or replace function tenantry.share(t regclass, why text) returns void
    language plpgsql set search_path = ''
as $$
begin
    perform pg_catalog.set_config('lock_timeout', '3s', true);
    perform tenantry.check_protectable(t);
    if coalesce(pg_catalog.btrim(why), '') = '' then
        raise exception 'tenantry: say why all tenants may read "%"', t using errcode = 'invalid_parameter_value',
            hint = pg_catalog.format('select tenantry.share(%L, ''the same list of countries for everybody'');', t);
    end if;
    perform tenantry.drop_policies(t);
    execute pg_catalog.format('revoke all on %s from public, platform', t);
    execute pg_catalog.format('alter table %s enable row level security, force row level security', t);
    perform tenantry.put_policy(t, 'tenantry_select', 'select', 'platform', 'true', null, 'Shared by all tenants, read-only.');
    perform tenantry.put_policy(t, 'tenantry_fill', 'all', 'tenantry_owner', 'true', 'true', 'Migrations fill what all tenants share.');
    execute pg_catalog.format('grant select on %s to platform', t);
    insert into tenantry.protected as p (relation, kind, why) values (t, 'shared', why)
        on conflict on constraint protected_pkey do update set kind = 'shared', owner_column = null, why = excluded.why;
end
$$;
comment on function tenantry.share(regclass, text) is 'Lets every tenant read a table, and none write it; migrations fill it.';

create or replace function tenantry.drop_policies(t regclass) returns void
    language plpgsql set search_path = ''
as $$
declare
    made name;
begin
    for made in delete from tenantry.policies p where p.relation = t returning p.name loop
        execute pg_catalog.format('drop policy if exists %I on %s', made, t);
    end loop;
end
$$;
comment on function tenantry.drop_policies(regclass) is 'Takes away the policies that put_policy() made on a table.';

create or replace function tenantry.unprotect(t regclass) returns void
    language plpgsql set search_path = ''
as $$
begin
    perform pg_catalog.set_config('lock_timeout', '3s', true);
    perform tenantry.check_protectable(t);
    -- First: what is unprotected is unreachable, never open. Row security stays on.
    execute pg_catalog.format('revoke all on %s from public, platform', t);
    perform tenantry.drop_policies(t);
    insert into tenantry.protected as p (relation, kind) values (t, 'closed')
        on conflict on constraint protected_pkey do update set kind = 'closed', owner_column = null, why = null;
end
$$;
comment on function tenantry.unprotect(regclass) is 'Takes a table out of every tenant''s reach; row security stays on. Drop it, or protect or share it again, later.';

insert into tenantry.allowed_definer (function, why) values
    ('tenantry.can(text)', 'Reads what tenants regranted; answers for the sealed tenant and role only.'),
    ('public.get_current_tenant_id()', 'Keyed seal: proves the seal with a key that platform may not read.'),
    ('tenantry.user_id()', 'Keyed seal: proves the seal with a key that platform may not read.'),
    ('tenantry.role()', 'Keyed seal: proves the seal with a key that platform may not read.');

reset role;
