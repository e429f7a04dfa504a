// The built-in routers, as every application has them.
import { createTRPCClient, httpBatchLink } from '@trpc/client';
import type { inferRouterOutputs } from '@trpc/server';
import type { AppRouter, User } from '../build/builtin.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T) => undefined;

const trpc = createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: '/trpc' })] });
const user: User = await trpc.users.get.query({ id: 'u' });
is<Equal<typeof user.role, 'owner' | 'admin' | 'member'>>();
const people = await trpc.users.list.query();
is<Equal<(typeof people.items)[number]['email'], string>>();
is<Equal<typeof people.nextCursor, string | null>>();
await trpc.users.update.mutate({ id: 'u', role: 'admin' });
// @ts-expect-error no such role
await trpc.users.update.mutate({ id: 'u', role: 'root' });
// @ts-expect-error whom?
await trpc.users.delete.mutate();
is<Equal<inferRouterOutputs<AppRouter>['tenants']['current']['slug'], string>>();
is<Equal<inferRouterOutputs<AppRouter>['tenants']['switch']['token'], string | null>>();
const health = await trpc.health.check.query();
is<Equal<typeof health.status, 'healthy' | 'degraded' | 'unhealthy'>>();
is<Equal<(typeof health.checks.database)['status'], 'up' | 'degraded' | 'down'>>();
is<Equal<Awaited<ReturnType<typeof trpc.health.readiness.query>>['ready'], boolean>>();
is<Equal<Awaited<ReturnType<typeof trpc.health.liveness.query>>['alive'], boolean>>();
