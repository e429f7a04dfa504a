// The same application with superjson: Date, bigint, Set and Map stay themselves, and every link demands the transformer.
import { createTRPCClient, httpBatchLink, httpBatchStreamLink, httpSubscriptionLink } from '@trpc/client';
import type { inferRouterInputs } from '@trpc/server';
import superjson from 'superjson';
import type { AppRouter } from '../golden/superjson.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T) => undefined;

const trpc = createTRPCClient<AppRouter>({ links: [httpBatchStreamLink({ url: '/superjson', transformer: superjson })] });
const note = (await trpc.notes.recent.query())[0]!;
is<Equal<typeof note.createdAt, Date>>();
is<Equal<typeof note.dueOn, string | null>>();
is<Equal<typeof note.tags, Set<string>>>();
const numbers = await trpc.kinds.numbers.query();
is<Equal<typeof numbers.big, bigint>>();
is<Equal<typeof numbers.raw, Uint8Array>>();
is<Equal<typeof numbers.exact, string>>();
is<Equal<typeof numbers.frozen, Set<string>>>();
is<Equal<typeof numbers.byNumber, Map<number, string>>>();
is<Equal<typeof numbers.byName, Record<string, number>>>();
const report = await trpc.notes.report.query();
is<Equal<Awaited<typeof report.later>['name'], string>>();
trpc.live.clock.subscribe({}, { onData(at) { is<Equal<typeof at, Date>>(); } });
trpc.live.changes.subscribe(undefined, { onData(change) { is<Equal<typeof change.data.createdAt, Date>>(); } });
type Input = inferRouterInputs<AppRouter>['kinds']['takeNumbers'];
is<Equal<Input['big'], bigint>>();

const good: Input = {
  big: 1n, moment: new Date(), day: '2026-01-02', raw: new Uint8Array(), exact: '1.2', tags: new Set(['a']), byNumber: new Map([[1, 'a']]),
};
await trpc.kinds.takeNumbers.mutate(good);
// @ts-expect-error a text is no Date
await trpc.kinds.takeNumbers.mutate({ ...good, moment: 'now' });
// @ts-expect-error a number is no bigint
await trpc.kinds.takeNumbers.mutate({ ...good, big: 1 });
// @ts-expect-error a list is no Set
await trpc.kinds.takeNumbers.mutate({ ...good, tags: ['a'] });
// @ts-expect-error an object is no Map
await trpc.kinds.takeNumbers.mutate({ ...good, byNumber: { 1: 'a' } });
// @ts-expect-error a Date is no day: it would shift with the time zone
await trpc.kinds.takeNumbers.mutate({ ...good, day: new Date() });
// @ts-expect-error the transformer is missing
httpBatchLink<AppRouter>({ url: '/superjson' });
// @ts-expect-error the transformer is missing
httpSubscriptionLink<AppRouter, typeof EventSource>({ url: '/superjson' });
