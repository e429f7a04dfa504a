-- Hasura: session variables as JSON in `hasura.user`, the tenant in a helper function; tables whose row security nobody forced, and a
-- materialized view for a dashboard.
create function public.hasura_tenant() returns uuid language sql stable as $$
    select (nullif(current_setting('hasura.user', true), '')::json ->> 'x-hasura-tenant-id')::uuid
$$;
create table public.orders (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, total numeric not null);
create index orders_tenant on public.orders (tenant_id);
create table public.order_items (
    id uuid primary key default gen_random_uuid(), tenant_id uuid not null, order_id uuid not null references public.orders (id), sku text not null
);
create index order_items_tenant on public.order_items (tenant_id);
alter table public.orders enable row level security;
alter table public.order_items enable row level security;
create policy tenant on public.orders to hasura using (tenant_id = (select public.hasura_tenant())) with check (tenant_id = (select public.hasura_tenant()));
create policy tenant on public.order_items to hasura using (tenant_id = (select public.hasura_tenant())) with check (tenant_id = (select public.hasura_tenant()));
create materialized view public.totals as select tenant_id, sum(total) as total from public.orders group by tenant_id;
grant usage on schema public to hasura;
grant select, insert, update, delete on public.orders, public.order_items to hasura;
grant select on public.totals to hasura;
insert into public.orders (tenant_id, total) values ('aaaaaaaa-0000-4000-8000-00000000000a', 1), ('bbbbbbbb-0000-4000-8000-00000000000b', 2);
