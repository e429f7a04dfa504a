// TanStack Query over the generated types: @trpc/tanstack-react-query, its proxy and its React context.
import { QueryClient, useInfiniteQuery, useMutation, useQuery } from '@tanstack/react-query';
import { createTRPCClient, httpBatchLink, type TRPCClientErrorLike } from '@trpc/client';
import { createTRPCContext, createTRPCOptionsProxy, type inferInput, type inferOutput, useSubscription } from '@trpc/tanstack-react-query';
import type { AppRouter } from '../golden/plain.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T) => undefined;

export const { TRPCProvider, useTRPC, useTRPCClient } = createTRPCContext<AppRouter>();
const queryClient = new QueryClient();
export const proxy = createTRPCOptionsProxy<AppRouter>({
  client: createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: '/trpc' })] }), queryClient,
});
is<Equal<inferInput<typeof proxy.notes.create>, { body: string }>>();
is<Equal<inferOutput<typeof proxy.notes.create>, string>>();

export function Notes() {
  const trpc = useTRPC();
  const notes = useQuery(trpc.notes.recent.queryOptions({ limit: 3 }));
  is<Equal<NonNullable<typeof notes.data>[number]['body'], string>>();
  const add = useMutation(trpc.notes.add.mutationOptions({
    onSuccess: (note) => { is<Equal<typeof note.body, string>>(); void queryClient.invalidateQueries(trpc.notes.pathFilter()); },
    onError: (error: TRPCClientErrorLike<AppRouter>) => { if (error.data?.reason === 'TooManyNotes') error.data.limit.toFixed(); },
  }));
  add.mutate({ title: 't', body: 'b' });
  // @ts-expect-error title is required
  add.mutate({ body: 'b' });
  // @ts-expect-error a text is no limit
  useQuery(trpc.notes.recent.queryOptions({ limit: '3' }));
  const cached = queryClient.getQueryData(trpc.notes.recent.queryKey());
  is<Equal<NonNullable<typeof cached>[number]['body'], string>>();
  // A parameter named `cursor` is what makes a query infinite for TanStack.
  const pages = useInfiniteQuery(trpc.notes.pages.infiniteQueryOptions({ limit: 10 }, { getNextPageParam: (page) => page.nextCursor }));
  is<Equal<NonNullable<typeof pages.data>['pages'][number]['items'][number]['body'], string>>();
  useSubscription(trpc.live.changes.subscriptionOptions(undefined, { onData: (change) => { is<Equal<typeof change.data.body, string>>(); } }));
  return <ul>{notes.data?.map((note) => <li key={note.id}>{note.body}</li>)}</ul>;
}
