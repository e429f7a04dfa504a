create table tasks (
    id uuid primary key default gen_random_uuid(),
    title text not null,
    done boolean not null default false,
    created_at timestamptz not null default now()
);
select tenantry.protect('tasks');
