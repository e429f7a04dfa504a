// The conformance kit's application as Tenantry serves it: every call that the kit makes by name, and some that it could not.
import { createTRPCClient, httpBatchStreamLink, httpSubscriptionLink, splitLink, TRPCClientError } from '@trpc/client';
import type { AppRouter } from '../build/fixture.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T) => undefined;

const trpc = createTRPCClient<AppRouter>({
  links: [splitLink({
    condition: (op) => op.type === 'subscription', true: httpSubscriptionLink({ url: '/trpc' }), false: httpBatchStreamLink({ url: '/trpc' }),
  })],
});
is<Equal<Awaited<ReturnType<typeof trpc.ping.query>>, string>>();
is<Equal<Awaited<ReturnType<typeof trpc.a.b.c.deep.query>>, string>>();
is<Equal<Awaited<ReturnType<typeof trpc.math.add.query>>, number>>();
is<Equal<Awaited<ReturnType<typeof trpc.nothing.mutate>>, null>>();
is<Equal<Awaited<ReturnType<typeof trpc.req.header.query>>, string | null>>();
const counted = await trpc.counter.increment.mutate({ key: 'k' });
is<Equal<typeof counted.value, number>>();
const one = await trpc.defer.one.query();
is<Equal<Awaited<typeof one.later>, string>>();
for await (const number of await trpc.defer.list.query({ count: 3 })) is<Equal<typeof number, number>>();
await trpc.upload.form.mutate(new FormData());
is<Equal<Awaited<ReturnType<typeof trpc.upload.octet.mutate>>['size'], number>>();
trpc.sub.count.subscribe({ count: 3 }, { onData(number) { is<Equal<typeof number, number>>(); } });
trpc.sub.tracked.subscribe({ count: 3, lastEventId: '1' }, { onData(event) { is<Equal<typeof event.id, string>>(); } });
// @ts-expect-error a number of the wrong kind
await trpc.math.add.query({ a: '1', b: 2 });
// @ts-expect-error a required key
await trpc.math.add.query({ a: 1 });
// @ts-expect-error no JSON where a form is meant
await trpc.upload.form.mutate({});
// @ts-expect-error a subscription is no query
await trpc.sub.count.query({ count: 3 });
// @ts-expect-error how many?
trpc.sub.count.subscribe(undefined, {});
try {
  await trpc.err.code.query({ code: 'NOT_FOUND' });
} catch (caught) {
  if (caught instanceof TRPCClientError) {
    const { data } = caught as TRPCClientError<AppRouter>;
    is<Equal<NonNullable<typeof data>['fields'], Record<string, string[]> | null>>();
  }
}
