-- The audit trail, invitations, limits by sender, and what sign-in needs beside 0006.
--
-- audit_log is written in the transaction of the act itself, by the functions that act; nobody may change or delete a line, and
-- platform reads its own tenant's lines as admin. No token, code or mail stands in it.

set local role tenantry_owner;

create table public.audit_log (
    id uuid constraint audit_log_pkey primary key default gen_random_uuid(),
    at timestamptz not null default now(),
    -- The nil UUID before a tenant was entered: nobody's tenant, so nobody's to read but the operator's.
    tenant_id uuid not null default public.get_current_tenant_id(),
    action text not null constraint audit_log_action_check check (action ~ '^[a-z][a-z_]{1,49}$'),
    identity_id uuid,
    subject text constraint audit_log_subject_check check (length(subject) <= 300),
    detail jsonb not null default '{}' constraint audit_log_detail_check check (length(detail::text) <= 4000),
    ip inet,
    user_agent text constraint audit_log_user_agent_check check (length(user_agent) <= 300),
    request_id text constraint audit_log_request_id_check check (length(request_id) <= 100)
);
comment on table public.audit_log is
    'Who did what, when, from where. Append-only; no foreign keys, because it outlives what it speaks of.';
create index audit_log_tenant_at_idx on public.audit_log (tenant_id, at desc, id desc);
-- Unique, though the id is so alone: the sealer and the retention read in this order.
create unique index audit_log_at_idx on public.audit_log (at, id);

create or replace function tenantry.refuse_change() returns trigger
    language plpgsql set search_path = ''
as $$
begin
    -- Retention alone deletes, and it runs as tenantry_system.
    if tg_op <> 'DELETE' or current_user <> 'tenantry_system' then
        raise exception 'The audit trail is append-only.' using errcode = '42501';
    end if;
    return null;
end
$$;
comment on function tenantry.refuse_change() is 'The audit trail takes no update, no truncate, and no delete but retention''s.';
create trigger audit_log_append_only before update or delete or truncate on public.audit_log
    for each statement execute function tenantry.refuse_change();
comment on trigger audit_log_append_only on public.audit_log is 'Holds for the owner too.';

select tenantry.keep('public.audit_log');
select tenantry.put_policy('public.audit_log', 'tenantry_select', 'select', 'platform',
                           'tenant_id = (select public.get_current_tenant_id()) and (select tenantry.role()) in (''owner'', ''admin'')', null,
                           'Admins and owners read their own tenant''s trail.');
select tenantry.put_policy('public.audit_log', 'tenantry_signin', 'insert', 'tenantry_signin', null, 'true',
                           'Sign-in writes what it does.');
select tenantry.put_policy('public.audit_log', 'tenantry_members', 'insert', 'tenantry_members', null,
                           'tenant_id = (select public.get_current_tenant_id())', 'Acts on members are written down in their tenant.');
select tenantry.put_grant('public.audit_log', 'platform', 'select');
select tenantry.put_grant('public.audit_log', 'tenantry_signin', 'insert');
select tenantry.put_grant('public.audit_log', 'tenantry_members', 'insert');

-- Runs as the function that calls it, and so with that function's rights. `visit` is {"ip", "agent", "request"}, each may be missing.
create or replace function tenantry.audit(
    tenant uuid, action text, identity uuid, subject text, detail jsonb, visit jsonb
) returns void
    language sql volatile set search_path = ''
    begin atomic
        insert into public.audit_log (tenant_id, action, identity_id, subject, detail, ip, user_agent, request_id)
        values (coalesce(tenant, '00000000-0000-0000-0000-000000000000'), action, identity, pg_catalog."left"(subject, 300), coalesce(detail, '{}'), (visit ->> 'ip')::inet,
                pg_catalog."left"(visit ->> 'agent', 300), pg_catalog."left"(visit ->> 'request', 100));
    end;
comment on function tenantry.audit(uuid, text, uuid, text, jsonb, jsonb) is 'Writes a line of the audit trail, in the transaction of the act.';
revoke all on function tenantry.audit(uuid, text, uuid, text, jsonb, jsonb) from public;
grant execute on function tenantry.audit(uuid, text, uuid, text, jsonb, jsonb) to tenantry_signin, tenantry_members, tenantry_system;

-- Invitations. The token travels by mail; here is its hash. One that is open a tenant and address.
create table public.auth_invitations (
    id uuid constraint auth_invitations_pkey primary key default gen_random_uuid(),
    tenant_id uuid not null constraint auth_invitations_tenant_fk references tenantry.tenants on delete cascade,
    email text not null constraint auth_invitations_email_check check (length(email) between 3 and 254),
    role text not null constraint auth_invitations_role_check check (role in ('owner', 'admin', 'member')),
    token_hash bytea not null constraint auth_invitations_token_hash_check check (length(token_hash) = 32),
    invited_by uuid constraint auth_invitations_invited_by_fk references public.auth_identities on delete set null,
    -- Made by an operator (tenants create --owner): no inviter whose role could be checked again.
    is_by_operator boolean not null default false,
    expires timestamptz not null,
    created_at timestamptz not null default now(),
    constraint auth_invitations_token_hash_key unique (token_hash),
    constraint auth_invitations_tenant_email_key unique (tenant_id, email)
);
comment on table public.auth_invitations is 'Who was asked into a tenant, and as what; used once, then gone.';
comment on constraint auth_invitations_role_check on public.auth_invitations is 'A role is owner, admin or member';
create index auth_invitations_email_idx on public.auth_invitations (email);
create index auth_invitations_invited_by_idx on public.auth_invitations (invited_by);

select tenantry.keep('public.auth_invitations');
select tenantry.put_policy('public.auth_invitations', 'tenantry_signin', 'all', 'tenantry_signin', 'true', 'true',
                           'Whoever holds the token accepts; a waiting invitation opens sign-up for its address.');
select tenantry.put_policy('public.auth_invitations', 'tenantry_members', 'all', 'tenantry_members',
                           'tenant_id = (select public.get_current_tenant_id())', 'tenant_id = (select public.get_current_tenant_id())',
                           'Admins invite into their own tenant, list and revoke.');
select tenantry.put_grant('public.auth_invitations', 'tenantry_signin', 'select');
select tenantry.put_grant('public.auth_invitations', 'tenantry_signin', 'delete');
select tenantry.put_grant('public.auth_invitations', 'tenantry_members', 'select');
select tenantry.put_grant('public.auth_invitations', 'tenantry_members', 'insert');
select tenantry.put_grant('public.auth_invitations', 'tenantry_members', 'delete');

-- Limits by sender. Unlogged: after a crash everybody begins anew, and no request waits for the disk.
create unlogged table tenantry.sender_limits (
    key text constraint sender_limits_pkey primary key,
    began timestamptz not null,
    ends timestamptz not null,
    count integer not null
);
comment on table tenantry.sender_limits is 'How often a sender (never an account) did something in the running window.';
create index sender_limits_ends_idx on tenantry.sender_limits (ends);
select tenantry.keep('tenantry.sender_limits');
select tenantry.put_policy('tenantry.sender_limits', 'tenantry_signin', 'all', 'tenantry_signin', 'true', 'true', 'take_limits() counts.');
select tenantry.put_grant('tenantry.sender_limits', 'tenantry_signin', 'select');
select tenantry.put_grant('tenantry.sender_limits', 'tenantry_signin', 'insert');
select tenantry.put_grant('tenantry.sender_limits', 'tenantry_signin', 'update');
select tenantry.put_grant('tenantry.sender_limits', 'tenantry_signin', 'delete');

-- Sign-in's further columns and rights.
alter table public.auth_identities add column last_tenant_id uuid
    constraint auth_identities_last_tenant_fk references tenantry.tenants on delete set null;
create index auth_identities_last_tenant_idx on public.auth_identities (last_tenant_id);
alter table public.auth_accounts add column facts jsonb not null default '{}', add column tokens bytea;
comment on column public.auth_accounts.facts is 'What the provider says beside the key: tid and oid of Microsoft Entra.';
comment on column public.auth_accounts.tokens is 'The provider''s tokens, sealed, where AUTH_STORE_PROVIDER_TOKENS asks for it.';
alter table public.auth_verifications
    add column id uuid not null default gen_random_uuid() constraint auth_verifications_id_key unique,
    add column code_hash bytea constraint auth_verifications_code_hash_check check (length(code_hash) = 32),
    add column tries smallint not null default 0;
comment on column public.auth_verifications.tries is 'Codes that were tried in vain; after the fifth the code is void, the link is not.';

select tenantry.put_policy('public.auth_identities', 'tenantry_signin_insert', 'insert', 'tenantry_signin', null, 'true', 'Sign-up.');
select tenantry.put_policy('public.auth_identities', 'tenantry_signin_update', 'update', 'tenantry_signin', 'true', 'true',
                           'An address proved to be good; the tenant last used.');
select tenantry.put_policy('public.auth_accounts', 'tenantry_signin', 'all', 'tenantry_signin', 'true', 'true', 'Sign-in finds, links, unlinks.');
select tenantry.put_policy('public.auth_verifications', 'tenantry_signin', 'all', 'tenantry_signin', 'true', 'true', 'The e-mail link.');
select tenantry.put_policy('public.auth_sessions', 'tenantry_signin_update', 'update', 'tenantry_signin', 'true', 'true', 'A session slides.');
select tenantry.put_grant('public.auth_identities', 'tenantry_signin', 'insert');
select tenantry.put_grant('public.auth_identities', 'tenantry_signin', 'update', '{name,image,email_verified,last_tenant_id}');
select tenantry.put_grant('public.auth_accounts', 'tenantry_signin', 'select');
select tenantry.put_grant('public.auth_accounts', 'tenantry_signin', 'insert');
select tenantry.put_grant('public.auth_accounts', 'tenantry_signin', 'update', '{facts,tokens}');
select tenantry.put_grant('public.auth_accounts', 'tenantry_signin', 'delete');
select tenantry.put_grant('public.auth_verifications', 'tenantry_signin', 'select');
select tenantry.put_grant('public.auth_verifications', 'tenantry_signin', 'insert');
select tenantry.put_grant('public.auth_verifications', 'tenantry_signin', 'update', '{tries}');
select tenantry.put_grant('public.auth_verifications', 'tenantry_signin', 'delete');
select tenantry.put_grant('public.auth_sessions', 'tenantry_signin', 'update', '{expires,last_seen_at,tenant_id}');

reset role;
