-- What was applied: name, kind, and the checksum as hex. Run as the role of requests, which may read it.
select
    m.name,
    m.kind,
    pg_catalog.encode(m.sha256, 'hex') as sha256
from tenantry.migrations as m
