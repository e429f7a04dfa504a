-- Who comes in by a proof puts out all of whoever was there without one; a browser has one session; and asking for a mail takes as
-- long for an address that nobody has.

set local role tenantry_owner;
select tenantry.put_policy('public.auth_api_keys', 'tenantry_signin_delete', 'delete', 'tenantry_signin', 'true', null,
                           'Keys of who held an address without proof go when its owner comes.');
select tenantry.put_grant('public.auth_api_keys', 'tenantry_signin', 'select', '{id,key_hash,last_used_at,user_id,created_by}');
select tenantry.put_grant('public.auth_api_keys', 'tenantry_signin', 'delete');
reset role;

set local role tenantry_signin;

create or replace function tenantry.open_session(
    identity uuid, new_token bytea, old_token bytea, provider text, max_age integer, visit jsonb,
    out tenant uuid, out expires timestamptz
)
    language plpgsql volatile set search_path = ''
as $$
declare
    replaced public.auth_sessions;
begin
    if pg_catalog.length(new_token) < 32 then
        raise exception 'a session token has at least 32 bytes' using errcode = '22023';
    end if;
    tenant := tenantry.best_tenant(identity);
    expires := pg_catalog.date_trunc('milliseconds', pg_catalog.now() + pg_catalog.make_interval(secs => max_age));
    -- The session that the browser came with ends, whoever's it was: nobody would hold its token any more but who copied it.
    delete from public.auth_sessions s
     where old_token is not null and s.token_hash = pg_catalog.sha256(old_token)
    returning * into replaced;
    if replaced.identity_id <> identity and replaced.expires > pg_catalog.now() then
        perform tenantry.audit(replaced.tenant_id, 'sign_out', replaced.identity_id, 'replaced', null, visit);
    end if;
    insert into public.auth_sessions (token_hash, identity_id, tenant_id, expires, last_seen_at, provider, ip, user_agent)
    values (pg_catalog.sha256(new_token), identity, tenant, open_session.expires, pg_catalog.now(), provider,
            (visit ->> 'ip')::inet, pg_catalog."left"(visit ->> 'agent', 300));
    perform tenantry.audit(tenant, 'sign_in', identity, provider, null, visit);
end
$$;

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
                -- Nor may the first one's keys go on: neither those that act as this person, nor service keys that were left behind.
                delete from public.auth_api_keys k
                 where k.created_by = owner or k.user_id in (select u.id from public.users u where u.identity_id = owner);
                delete from public.auth_invitations n where n.invited_by = owner;
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

create or replace function tenantry.begin_email(
    address text, token_hash bytea, code_hash bytea, seconds integer, sign_up text, visit text,
    out id uuid, out is_to_send boolean
)
    language plpgsql volatile security definer set search_path = ''
as $$
begin
    id := pg_catalog.gen_random_uuid();
    is_to_send := sign_up = 'open'
        or exists (select from public.auth_identities i where i.email = address)
        or exists (select from public.auth_invitations n where n.email = address and n.expires > pg_catalog.now());
    delete from public.auth_verifications x
     where x.id in (select o.id from public.auth_verifications o where o.expires < pg_catalog.now() limit 20 for update skip locked);
    -- A row either way, since a transaction that writes waits for the disk and one that does not would be told from it by a clock.
    -- The one that nobody is sent has hashes of nothing.
    insert into public.auth_verifications (id, identifier, token_hash, code_hash, expires)
    values (begin_email.id, address,
            case when is_to_send then begin_email.token_hash else pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())) end,
            case when is_to_send then begin_email.code_hash else pg_catalog.sha256(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())) end,
            pg_catalog.now() + pg_catalog.make_interval(secs => seconds));
end
$$;

create or replace function tenantry.finish_email(
    facts text, new_token bytea, old_token bytea, visit text,
    out outcome text, out is_new boolean, out expires timestamptz, out reason text
)
    language plpgsql volatile security definer set search_path = ''
as $$
declare
    f constant jsonb := facts::jsonb;
    address text;
begin
    if f ->> 'hashes' is not null then
        delete from public.auth_verifications x
         where x.identifier = f ->> 'email'
           and pg_catalog.encode(x.token_hash, 'hex') = any (pg_catalog.string_to_array(f ->> 'hashes', ','))
           and x.expires > pg_catalog.now()
        returning x.identifier into address;
    else
        -- One try at a time: of many at once each would see the count from before the others.
        perform from public.auth_verifications x where x.id = (f ->> 'id')::uuid for update;
        delete from public.auth_verifications x
         where x.id = (f ->> 'id')::uuid
           and x.tries < 5
           and pg_catalog.encode(x.code_hash, 'hex') = any (pg_catalog.string_to_array(f ->> 'code_hashes', ','))
           and x.expires > pg_catalog.now()
        returning x.identifier into address;
        if address is null then
            update public.auth_verifications x set tries = x.tries + 1 where x.id = (f ->> 'id')::uuid and x.tries < 5;
        end if;
    end if;
    if address is null then
        outcome := 'Verification';
        reason := case when f ->> 'hashes' is null then 'code' else 'link' end;
        is_new := false;
        perform tenantry.audit(null, 'sign_in_failed', null, 'email', pg_catalog.jsonb_build_object('reason', reason), visit::jsonb);
        return;
    end if;
    select s.outcome, s.is_new, s.expires, s.reason
      into outcome, is_new, expires, reason
      from tenantry.sign_in(
          (f || pg_catalog.jsonb_build_object('email', address, 'account', address, 'provider', 'email', 'type', 'email', 'is_verified', true))::text,
          new_token, old_token, visit) s;
end
$$;
reset role;
