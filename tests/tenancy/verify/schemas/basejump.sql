-- A Supabase project in the style of Basejump: accounts, members, helper functions, policies by auth.uid(). With what is often seen
-- beside it: a view, a report function, unique numbers.
create schema auth;
create schema basejump;
grant usage on schema auth, basejump, public to authenticated;
create table auth.users (id uuid primary key, email text unique);
create function auth.uid() returns uuid language sql stable as $$
    select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
create type basejump.account_role as enum ('owner', 'member');
create table basejump.accounts (
    id uuid primary key default gen_random_uuid(),
    primary_owner_user_id uuid not null references auth.users default auth.uid(),
    name text,
    slug text unique,
    personal_account boolean not null default false
);
create table basejump.account_user (
    user_id uuid not null references auth.users on delete cascade,
    account_id uuid not null references basejump.accounts on delete cascade,
    account_role basejump.account_role not null,
    primary key (user_id, account_id)
);
create function basejump.has_role_on_account(account_id uuid, account_role basejump.account_role default null) returns boolean
    language sql security definer set search_path = public, basejump as $$
    select exists (
        select 1 from basejump.account_user wu
        where wu.user_id = auth.uid() and wu.account_id = has_role_on_account.account_id
          and (wu.account_role = has_role_on_account.account_role or has_role_on_account.account_role is null)
    )
$$;
alter table basejump.accounts enable row level security;
alter table basejump.account_user enable row level security;
create policy "Accounts are viewable by members" on basejump.accounts for select to authenticated
    using (basejump.has_role_on_account(id) or primary_owner_user_id = auth.uid());
create policy "users can view their own account_users" on basejump.account_user for select to authenticated using (user_id = auth.uid());
create policy "users can view their teammates" on basejump.account_user for select to authenticated
    using (basejump.has_role_on_account(account_id) = true);
grant select, insert, update, delete on all tables in schema basejump to authenticated;

create table public.invoices (
    id bigint generated always as identity primary key,
    account_id uuid not null references basejump.accounts,
    number text not null unique,
    amount numeric not null
);
alter table public.invoices enable row level security;
create policy "members read" on public.invoices for select to authenticated using (basejump.has_role_on_account(account_id));
create policy "members write" on public.invoices for insert to authenticated with check (basejump.has_role_on_account(account_id));
create policy "members update" on public.invoices for update to authenticated using (basejump.has_role_on_account(account_id));
create policy "members delete" on public.invoices for delete to authenticated using (basejump.has_role_on_account(account_id, 'owner'));
create view public.account_totals as select account_id, sum(amount) as total from public.invoices group by account_id;
create function public.revenue() returns numeric language sql stable security definer as $$ select sum(amount) from public.invoices $$;
grant select, insert, update, delete on all tables in schema public to authenticated;

insert into auth.users values ('aaaaaaaa-0000-4000-8000-000000000001', 'ann@acme.example'), ('bbbbbbbb-0000-4000-8000-000000000002', 'bob@globex.example');
insert into basejump.accounts (id, primary_owner_user_id, name, slug) values
    ('aaaaaaaa-0000-4000-8000-00000000000a', 'aaaaaaaa-0000-4000-8000-000000000001', 'Acme', 'acme'),
    ('bbbbbbbb-0000-4000-8000-00000000000b', 'bbbbbbbb-0000-4000-8000-000000000002', 'Globex', 'globex');
insert into basejump.account_user values
    ('aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-00000000000a', 'owner'),
    ('bbbbbbbb-0000-4000-8000-000000000002', 'bbbbbbbb-0000-4000-8000-00000000000b', 'owner');
