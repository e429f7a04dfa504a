"""`auth.ts`: the session of an incoming request on a front end's server, and what Tenantry's session has beyond Auth.js's."""

from __future__ import annotations

AUTH_MODULE = """\
// Written by `tenantry typescript --auth`. Do not edit: run it again.
import type { DefaultSession, Session } from 'next-auth';

declare module 'next-auth' {
  /** What `useSession()` and `auth()` give: Auth.js's session, and who one is in which tenant. */
  interface Session {
    user: {
      /** The person's id. */
      id: string;
      /** The role in `tenant`; null where no tenant is selected. */
      role: 'owner' | 'admin' | 'member' | null;
    } & DefaultSession['user'];
    /** The tenant that the session is in; null where none is selected. */
    tenant: { id: string; slug: string; name: string } | null;
  }
}

/** Where Tenantry is reached from this server. */
function origin(): string {
  const { TENANTRY_URL, NEXTAUTH_URL_INTERNAL, NEXTAUTH_URL, AUTH_URL } = process.env;
  const url = TENANTRY_URL ?? NEXTAUTH_URL_INTERNAL ?? NEXTAUTH_URL ?? AUTH_URL;
  if (!url) throw new Error('Set TENANTRY_URL to the address of Tenantry, for example http://127.0.0.1:3001');
  return new URL(url).origin;
}

/**
 * The session of the incoming request, or null: `const session = await auth()` in a server component or a route of Next.js;
 * elsewhere `auth(request)`. Asks Tenantry each time, so a session that was ended is ended here too.
 */
export async function auth(request?: { headers: Headers }): Promise<Session | null> {
  const incoming = request ? request.headers : await (await import('next/headers')).headers();
  const cookie = incoming.get('cookie');
  if (!cookie) return null;
  const answer = await fetch(`${origin()}/api/auth/session`, {
    headers: { cookie, 'content-type': 'application/json' },
    cache: 'no-store',
    redirect: 'error',
  });
  if (answer.status >= 500) throw new Error(`Tenantry cannot tell who is signed in (HTTP ${answer.status})`);
  return answer.ok ? ((await answer.json()) as Session | null) : null;
}
"""
