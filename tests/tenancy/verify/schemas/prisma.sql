-- Prisma with its row security extension: quoted names in camel case, `app.current_company_id`, a policy that lets a bypass through.
create table public."Company" ("id" uuid primary key default gen_random_uuid(), "name" text not null);
create table public."User" (
    "id" uuid primary key default gen_random_uuid(),
    "companyId" uuid not null default (current_setting('app.current_company_id'))::uuid references public."Company" ("id"),
    "email" text not null
);
create unique index "User_companyId_email_key" on public."User" ("companyId", "email");
create table public."Project" (
    "id" uuid primary key default gen_random_uuid(),
    "companyId" uuid not null default (current_setting('app.current_company_id'))::uuid references public."Company" ("id"),
    "ownerId" uuid not null references public."User" ("id"),
    "title" text not null
);
create index "Project_companyId_idx" on public."Project" ("companyId");
create table public."_prisma_migrations" (id varchar(36) primary key, checksum varchar(64) not null, migration_name varchar(255) not null);
alter table public."User" enable row level security;
alter table public."Project" enable row level security;
alter table public."User" force row level security;
alter table public."Project" force row level security;
create policy tenant_isolation_policy on public."User" using ("companyId" = current_setting('app.current_company_id', true)::uuid);
create policy tenant_isolation_policy on public."Project" using ("companyId" = current_setting('app.current_company_id', true)::uuid);
create policy bypass_rls_policy on public."Project" using (current_setting('app.bypass_rls', true)::text = 'on');
grant usage on schema public to prisma;
grant select, insert, update, delete on public."User", public."Project" to prisma;
grant select on public."Company" to prisma;
alter table public."Company" enable row level security;
create policy own on public."Company" for select to prisma using ("id" = current_setting('app.current_company_id', true)::uuid);
insert into public."Company" values ('aaaaaaaa-0000-4000-8000-00000000000a', 'Acme'), ('bbbbbbbb-0000-4000-8000-00000000000b', 'Globex');
insert into public."User" ("id", "companyId", "email") values
    ('aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-00000000000a', 'a@a.example'),
    ('bbbbbbbb-0000-4000-8000-000000000002', 'bbbbbbbb-0000-4000-8000-00000000000b', 'b@b.example');
insert into public."Project" ("companyId", "ownerId", "title") values
    ('aaaaaaaa-0000-4000-8000-00000000000a', 'aaaaaaaa-0000-4000-8000-000000000001', 'a'),
    ('bbbbbbbb-0000-4000-8000-00000000000b', 'bbbbbbbb-0000-4000-8000-000000000002', 'b');
