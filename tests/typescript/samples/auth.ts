// What `tenantry typescript --auth` writes: the session's own fields, for `auth()` and for next-auth's hooks.
import { useSession } from 'next-auth/react';
import type { Session } from 'next-auth';
import { auth } from '../build/auth.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T) => undefined;

const session = await auth();
is<Equal<typeof session, Session | null>>();
if (session) {
  is<Equal<typeof session.user.id, string>>();
  is<Equal<typeof session.user.role, 'owner' | 'admin' | 'member' | null>>();
  is<Equal<typeof session.user.email, string | null | undefined>>();
  is<Equal<NonNullable<typeof session.tenant>['slug'], string>>();
  // @ts-expect-error there may be no tenant
  session.tenant.slug;
  // @ts-expect-error no such field
  session.user.password;
}
await auth(new Request('http://localhost/'));
export function Who() {
  const { data } = useSession();
  // @ts-expect-error nobody may be signed in
  data.user.id;
  return data?.user.role ?? null;
}
