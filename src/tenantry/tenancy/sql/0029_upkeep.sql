-- What sign-in clears away, when an API key was last used, and whom a newly linked account is told to.

set local role tenantry_owner;

alter table public.auth_api_keys add column last_used_at timestamptz;
comment on column public.auth_api_keys.last_used_at is 'When the key was last presented, to about a minute: written beside requests, never in one.';
select tenantry.put_policy('public.auth_api_keys', 'tenantry_signin_select', 'select', 'tenantry_signin', 'true', null,
                           'keys_used() finds the key that was presented.');
select tenantry.put_policy('public.auth_api_keys', 'tenantry_signin_update', 'update', 'tenantry_signin', 'true', 'true',
                           'keys_used() notes when a key was used.');
select tenantry.put_grant('public.auth_api_keys', 'tenantry_signin', 'select', '{id,key_hash,last_used_at}');
select tenantry.put_grant('public.auth_api_keys', 'tenantry_signin', 'update', '{last_used_at}');
create index auth_invitations_expires_idx on public.auth_invitations (expires);
reset role;

set local role tenantry_signin;

create or replace function tenantry.keys_used(used text) returns integer
    language sql volatile security definer set search_path = ''
    begin atomic
        with found as (
            -- The hash tells the key from a guess at its id; skipped where another worker is at it, or a revocation.
            select k.id
              from pg_catalog.jsonb_array_elements(used::jsonb) as u (pair)
              join public.auth_api_keys k on k.id = u.pair ->> 0 and k.key_hash = pg_catalog.decode(u.pair ->> 1, 'hex')
             where k.last_used_at is null or k.last_used_at < pg_catalog.now() - interval '30 seconds'
               for update of k skip locked),
        noted as (
            update public.auth_api_keys k set last_used_at = pg_catalog.now() from found f where k.id = f.id returning 1)
        select pg_catalog.count(*)::integer from noted;
    end;
comment on function tenantry.keys_used(text) is 'Notes that keys [[id, SHA-256 in hex], …] were used; how many of them there are.';

-- Sessions, links, invitations and limits that are over; each kind at most so many at once, so that no lock and no WAL is felt.
create or replace function tenantry.clean_sign_in(most integer) returns integer
    language sql volatile security definer set search_path = ''
    begin atomic
        with sessions as (
            delete from public.auth_sessions s
             where s.id in (select o.id from public.auth_sessions o where o.expires < pg_catalog.now()
                             order by o.expires limit least(greatest($1, 0), 10000) for update skip locked)
            returning 1),
        links as (
            delete from public.auth_verifications v
             where v.id in (select o.id from public.auth_verifications o where o.expires < pg_catalog.now()
                             order by o.expires limit least(greatest($1, 0), 10000) for update skip locked)
            returning 1),
        invitations as (
            delete from public.auth_invitations n
             where n.id in (select o.id from public.auth_invitations o where o.expires < pg_catalog.now()
                             order by o.expires limit least(greatest($1, 0), 10000))
            returning 1),
        limits as (
            delete from tenantry.sender_limits l
             where l.key in (select o.key from tenantry.sender_limits o where o.ends < pg_catalog.now()
                              order by o.ends limit least(greatest($1, 0), 10000) for update skip locked)
            returning 1)
        select greatest((select pg_catalog.count(*) from sessions), (select pg_catalog.count(*) from links),
                        (select pg_catalog.count(*) from invitations), (select pg_catalog.count(*) from limits))::integer;
    end;
comment on function tenantry.clean_sign_in(integer) is
    'Deletes what is over, of each kind at most so many; gives how many of the kind that had most. Never what still holds.';

-- 0014's, which also says whom to tell that another way to sign in was added to their account.
drop function tenantry.sign_in(text, bytea, bytea, text);
create or replace function tenantry.sign_in(
    facts text, new_token bytea, old_token bytea, visit text,
    out outcome text, out is_new boolean, out expires timestamptz, out reason text, out linked_of text
)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    f constant jsonb := facts::jsonb;
    v constant jsonb := visit::jsonb;
    session public.auth_sessions;
    owner uuid;
    person public.auth_identities;
    is_verified constant boolean := coalesce((f ->> 'is_verified')::boolean, false);
    is_linked boolean := false;
begin
    is_new := false;
    -- First sign-ins of one account, or of one address, go one by one.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tenantry.account:' || (f ->> 'provider') || ':' || (f ->> 'account'), 0));
    if f ->> 'email' is not null then
        perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tenantry.address:' || (f ->> 'email'), 0));
    end if;
    select * into session from public.auth_sessions s
     where old_token is not null and s.token_hash = pg_catalog.sha256(old_token) and s.expires > pg_catalog.now();
    select a.identity_id into owner from public.auth_accounts a
     where a.provider = f ->> 'provider' and a.provider_account_id = f ->> 'account';

    if owner is not null then
        -- A link that came by mail signs in whoever the address belongs to; a provider's account does not change who is signed in.
        if session.identity_id <> owner and f ->> 'type' <> 'email' then
            outcome := 'OAuthAccountNotLinked';
            reason := 'account_of_another';
        end if;
    elsif session.id is not null and f ->> 'intent' = 'link' then
        if session.auth_time < pg_catalog.now() - interval '10 minutes' then
            outcome := 'AccountNotLinked';
            reason := 'sign_in_too_old';
        else
            owner := session.identity_id;
            is_linked := true;
        end if;
    elsif f ->> 'intent' = 'link' then
        outcome := 'AccountNotLinked';
        reason := 'signed_out';
    elsif f ->> 'email' is null then
        outcome := 'AccessDenied';
        reason := 'no_address';
    else
        select * into person from public.auth_identities i where i.email = f ->> 'email';
        if person.id is null then
            if f ->> 'sign_up' = 'open'
               or exists (select from public.auth_invitations n where n.email = f ->> 'email' and n.expires > pg_catalog.now()) then
                insert into public.auth_identities as i (email, name, image, email_verified)
                values (f ->> 'email', pg_catalog."left"(f ->> 'name', 200), pg_catalog."left"(f ->> 'image', 2000),
                        case when is_verified then pg_catalog.now() end)
                returning i.id into owner;
                is_new := true;
            else
                outcome := 'AccessDenied';
                reason := 'sign_up_closed';
            end if;
        elsif f ->> 'type' = 'email' then
            owner := person.id;
            -- Whoever came first under this address never proved it; now it is proved by someone, and what the first one linked goes.
            if person.email_verified is null then
                delete from public.auth_accounts a where a.identity_id = owner;
                if found then
                    perform tenantry.audit(null, 'account_unlinked', owner, 'unproved', null, v);
                end if;
                delete from public.auth_sessions s where s.identity_id = owner;
            end if;
        elsif (f ->> 'is_linking_verified')::boolean and is_verified and person.email_verified is not null then
            owner := person.id;
            is_linked := true;
        else
            outcome := 'OAuthAccountNotLinked';
            reason := 'address_of_another';
        end if;
    end if;

    if outcome is not null then
        perform tenantry.audit(null, 'sign_in_failed', owner, f ->> 'provider', pg_catalog.jsonb_build_object('reason', reason), v);
        return;
    end if;
    insert into public.auth_accounts as a (provider, provider_account_id, identity_id, type, facts, tokens)
    values (f ->> 'provider', f ->> 'account', owner, f ->> 'type', coalesce(f -> 'facts', '{}'), pg_catalog.decode(f ->> 'tokens', 'hex'))
        on conflict on constraint auth_accounts_pkey do update
       set facts = excluded.facts, tokens = coalesce(excluded.tokens, a.tokens);
    if is_linked then
        perform tenantry.audit(null, 'account_linked', owner, f ->> 'provider', null, v);
        select i.email into linked_of from public.auth_identities i where i.id = owner;
    end if;
    update public.auth_identities i
       set name = coalesce(i.name, pg_catalog."left"(f ->> 'name', 200)),
           image = coalesce(i.image, pg_catalog."left"(f ->> 'image', 2000)),
           email_verified = coalesce(i.email_verified, case when is_verified and i.email = f ->> 'email' then pg_catalog.now() end)
     where i.id = owner;
    select o.expires into sign_in.expires
      from tenantry.open_session(owner, new_token, old_token, f ->> 'provider', (f ->> 'max_age')::integer, v) o;
    outcome := case when is_linked and f ->> 'intent' = 'link' then 'linked' else 'ok' end;
end
$$;
comment on function tenantry.sign_in(text, bytea, bytea, text) is
    'Which person a provider''s account is, and a session for them: ok, linked, or Auth.js'' error code with the reason for the trail; whom to tell of a link.';

revoke all on function tenantry.keys_used(text), tenantry.clean_sign_in(integer), tenantry.sign_in(text, bytea, bytea, text) from public;
grant execute on function tenantry.keys_used(text), tenantry.clean_sign_in(integer), tenantry.sign_in(text, bytea, bytea, text) to tenantry_auth;
reset role;

set local role tenantry_members;
drop function tenantry.api_keys();
create or replace function tenantry.api_keys()
    returns table (id text, name text, role text, scopes text[], is_service boolean, user_id uuid, expires timestamptz,
                   created_at timestamptz, last_used_at timestamptz)
    language sql stable security definer set search_path = ''
    begin atomic
        select k.id, k.name, k.role, k.scopes, k.user_id is null, k.user_id, k.expires, k.created_at, k.last_used_at
          from public.auth_api_keys k
         where k.user_id = (select tenantry.user_id()) or (select tenantry.role()) in ('owner', 'admin')
         order by k.created_at, k.id;
    end;
comment on function tenantry.api_keys() is 'One''s own keys; for admins all of the tenant''s.';
revoke all on function tenantry.api_keys() from public;
grant execute on function tenantry.api_keys() to platform;
reset role;

set local role tenantry_owner;
insert into tenantry.allowed_definer (function, why)
values ('tenantry.keys_used(text)', 'Notes when a key was used, of keys that the caller holds; for tenantry_auth.'),
       ('tenantry.clean_sign_in(integer)', 'Deletes sessions, links, invitations and limits that are over; for tenantry_auth.')
    on conflict do nothing;
reset role;
