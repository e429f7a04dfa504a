-- A Rails app with activerecord-multi-tenant and row security by a migration: bigint keys, `account_id`, a setting of the connection's.
-- With what is often seen: a table that a later migration forgot, a counter cache by trigger, a unique index across accounts.
create table public.schema_migrations (version varchar primary key);
create table public.ar_internal_metadata (key varchar primary key, value varchar, created_at timestamp(6) not null, updated_at timestamp(6) not null);
create table public.accounts (
    id bigserial primary key,
    name varchar not null,
    projects_count integer not null default 0
);
create table public.projects (
    id bigserial primary key,
    account_id bigint not null references public.accounts (id),
    name varchar not null
);
create index index_projects_on_account_id on public.projects (account_id);
create table public.tasks (
    id bigserial primary key,
    account_id bigint not null references public.accounts (id),
    project_id bigint not null references public.projects (id),
    title varchar not null
);
create index index_tasks_on_account_id on public.tasks (account_id);
create table public.webhooks (id bigserial primary key, account_id bigint not null references public.accounts (id), url varchar not null);
create unique index index_webhooks_on_url on public.webhooks (url);
create function public.bump_projects_count() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin update accounts set projects_count = projects_count + 1 where id = new.account_id; return new; end $$;
create trigger bump after insert on public.projects for each row execute function public.bump_projects_count();
alter table public.projects enable row level security;
alter table public.projects force row level security;
create policy account_isolation on public.projects using (account_id = nullif(current_setting('rls.account_id', true), '')::bigint);
alter table public.tasks enable row level security;
alter table public.tasks force row level security;
create policy account_isolation on public.tasks using (account_id = nullif(current_setting('rls.account_id', true), '')::bigint);
grant usage on schema public to rails;
grant select, insert, update, delete on all tables in schema public to rails;
grant usage, select on all sequences in schema public to rails;
insert into public.accounts (name) values ('Acme'), ('Globex');
insert into public.projects (account_id, name) values (1, 'a'), (2, 'b');
insert into public.tasks (account_id, project_id, title) values (1, 1, 'a'), (2, 2, 'b');
insert into public.webhooks (account_id, url) values (1, 'https://a.example'), (2, 'https://b.example');
