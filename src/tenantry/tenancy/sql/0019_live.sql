-- Where the protection of a live table stands (`tenantry db protect`): so that it can be interrupted anywhere, and goes on.

set local role tenantry_owner;

create table tenantry.live_protections (
    relation regclass constraint live_protections_pkey primary key,
    expression text not null,
    owner_column name,
    next_page bigint not null default 0,
    rows_filled bigint not null default 0,
    is_filled boolean not null default false,
    started_at timestamptz not null default now()
);
comment on table tenantry.live_protections is 'Tables with rows that are on their way to being protected: whose rows they are, and how far the filling came.';
select tenantry.keep('tenantry.live_protections');
select tenantry.put_policy('tenantry.live_protections', 'tenantry_owner', 'all', 'tenantry_owner', 'true', 'true',
                           'tenantry db protect writes down where it stands.');

-- The composite form of a foreign key, without the old one's name and checked later: what a live table takes without a long lock.
create or replace function tenantry.composite_of(f oid) returns text
    language sql stable set search_path = ''
    return (select tenantry.composite(c) || ' not valid' from pg_catalog.pg_constraint c where c.oid = f);
comment on function tenantry.composite_of(oid) is 'A foreign key as tenantry.composite() writes it, not yet validated.';
revoke all on function tenantry.composite_of(oid) from public;

reset role;

-- Foreign keys over rows that are there. PostgreSQL checks those as the table's owner, and forced row security shows an owner nothing:
-- a key to tenants was refused for rows that were right, and a key between protected tables was called valid for rows that were not
-- (tried on 15 and 18). tenantry_system reads past row security; as a member of the owner it may make the key.
do $$
begin
    grant tenantry_owner to tenantry_system;
exception
    when insufficient_privilege then
        raise notice 'tenantry: as superuser: grant tenantry_owner to tenantry_system;  (protect() wants it for tables with rows): %', sqlerrm;
end
$$;

set local role tenantry_system;
create or replace function tenantry.add_reference(t regclass, name name, definition text) returns void
    language plpgsql volatile security definer set search_path = ''
as $$
begin
    execute pg_catalog.format('alter table %s add constraint %I %s', t, name, definition);
end
$$;
comment on function tenantry.add_reference(regclass, name, text) is 'Adds a foreign key, and checks it against every tenant''s rows; for tenantry_owner.';
revoke all on function tenantry.add_reference(regclass, name, text) from public;
grant execute on function tenantry.add_reference(regclass, name, text) to tenantry_owner;
reset role;

set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.add_reference(regclass,name,text)', 'Checks a new foreign key against every tenant''s rows; for tenantry_owner.')
    on conflict do nothing;

create or replace function tenantry.put_reference(t regclass, name name, definition text) returns void
    language plpgsql volatile set search_path = ''
as $$
declare
    has_rows boolean;
begin
    -- Row by row on a table without rows there is nothing to check, whoever asks.
    select pg_catalog.pg_relation_size(t) > 0 or c.relkind = 'p' into has_rows from pg_catalog.pg_class c where c.oid = t;
    if not has_rows then
        execute pg_catalog.format('alter table %s add constraint %I %s', t, name, definition);
    elsif pg_catalog.pg_has_role('tenantry_system', 'tenantry_owner', 'usage') then
        perform tenantry.add_reference(t, name, definition);
    else
        raise exception 'tenantry: foreign key "%" of "%" cannot be checked against every tenant''s rows', name, t
            using errcode = 'insufficient_privilege', hint = 'As superuser, once: grant tenantry_owner to tenantry_system;';
    end if;
end
$$;
comment on function tenantry.put_reference(regclass, name, text) is 'Adds a foreign key that holds for the rows that are there.';

create or replace function tenantry.refer_within_tenant(f pg_catalog.pg_constraint) returns void
    language plpgsql set search_path = ''
as $$
declare
    definition constant text := tenantry.composite(f);
begin
    execute pg_catalog.format('alter table %s drop constraint %I', f.conrelid::regclass, f.conname);
    perform tenantry.put_reference(f.conrelid, f.conname, definition);
    perform tenantry.index_reference(f.conrelid, f.conkey);
end
$$;
comment on function tenantry.refer_within_tenant(pg_catalog.pg_constraint) is 'Replaces a foreign key by its composite form, and indexes it.';

create or replace function tenantry.protect_column(t regclass) returns void
    language plpgsql set search_path = ''
as $$
declare
    type pg_catalog.regtype;
begin
    select a.atttypid into type
      from pg_catalog.pg_attribute a
     where a.attrelid = t and a.attname = 'tenant_id' and not a.attisdropped;
    if type is null then
        if pg_catalog.pg_relation_size(t) > 0 and tenantry.has_rows(t) then
            raise exception 'tenantry: "%" has rows, and no tenant_id says whose they are', t
                using errcode = 'not_null_violation',
                      hint = pg_catalog.format('Run: tenantry db protect %s --tenant SLUG --plan   (or --from, a column or expression that says whose each row is)', t);
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
        perform tenantry.put_reference(t, tenantry.fresh_name(t, 'tenant_fk'), 'foreign key (tenant_id) references tenantry.tenants');
    end if;
end
$$;
comment on function tenantry.protect_column(regclass) is 'protect(), steps 2 and 3: tenant_id, its default, its foreign key.';

-- As in 0005, but for a key that is there already: protect() may be run again.
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
            -- Run again, or after `tenantry db protect`, the key with the tenant is there.
            continue when exists (
                select from pg_catalog.pg_constraint k
                 where k.conrelid = t and k.contype in ('p', 'u') and k.conkey[1] = tenant
                   and k.conkey[2:] = (select c.conkey from pg_catalog.pg_constraint c where c.conrelid = t and c.conname = key.conname));
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

create or replace function tenantry.has_rows(t regclass) returns boolean
    language plpgsql volatile set search_path = ''
as $$
declare
    found boolean;
begin
    execute pg_catalog.format('select exists (select from %s)', t) into found;
    -- Under forced row security an owner sees none: then the table's size says enough.
    return found or (select c.relforcerowsecurity from pg_catalog.pg_class c where c.oid = t);
end
$$;
comment on function tenantry.has_rows(regclass) is 'Whether a table has rows; true when row security hides whether it has.';
revoke all on function tenantry.put_reference(regclass, name, text), tenantry.has_rows(regclass) from public;
reset role;
