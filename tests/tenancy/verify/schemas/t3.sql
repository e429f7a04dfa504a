-- A T3 project: Prisma's tables with quoted names and text ids, policies by a setting, and a DATABASE_URL that signs in as postgres.
create table public."Tenant" (id text primary key, name text not null);
create table public."Post" (
    id text primary key,
    "tenantId" text not null references public."Tenant" (id),
    title text not null,
    "createdAt" timestamp(3) not null default current_timestamp
);
create index "Post_tenantId_idx" on public."Post" ("tenantId");
alter table public."Post" enable row level security;
alter table public."Post" force row level security;
create policy tenant_isolation on public."Post"
    using ("tenantId" = (select current_setting('app.tenant_id', true)))
    with check ("tenantId" = (select current_setting('app.tenant_id', true)));
insert into public."Tenant" values ('acme', 'Acme'), ('globex', 'Globex');
