create table notes (
    id uuid primary key default gen_random_uuid(),
    body text not null,
    created_at timestamptz not null default now()
);
create index notes_created_idx on notes (created_at, id);
select tenantry.protect('notes');
