-- What `tenantry verify --probe` needs where no superuser is to be had: the migrating login may take platform's place.
--
-- It can do less there than as itself (it may act as the owner), and inherits nothing of it.

do $$
begin
    execute 'grant platform to tenantry_migrate' || case
        when pg_catalog.current_setting('server_version_num')::integer >= 160000 then ' with inherit false, set true'
        else ''
    end;
exception
    when insufficient_privilege then
        raise notice 'tenantry: platform could not be granted to tenantry_migrate, so that verify --probe wants a superuser: %', sqlerrm;
end
$$;
