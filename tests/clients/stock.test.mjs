// Stock @trpc/client against Tenantry's own procedures. URL, and each person's token, come from the environment.
import assert from 'node:assert/strict';
import test from 'node:test';
import { createTRPCClient, httpBatchLink, httpLink, TRPCClientError } from '@trpc/client';

const { URL: url, ACME, GLOBEX, OWN, FOREIGN } = process.env;
const client = (link, token) => createTRPCClient({ links: [link({ url, headers: () => (token ? { authorization: `Bearer ${token}` } : {}) })] });
const fails = async (promise, code, httpStatus) => {
  const error = await promise.then(() => assert.fail('it succeeded'), (e) => e);
  assert.ok(error instanceof TRPCClientError, String(error));
  assert.equal(error.data.code, code);
  assert.equal(error.data.httpStatus, httpStatus);
  return error;
};

for (const link of [httpLink, httpBatchLink]) {
  test(`${link.name}: a query gives the tenant's own rows`, async () => {
    const { items, nextCursor } = await client(link, ACME).users.list.query();
    assert.equal(items.length, 3);
    assert.ok(items.every((user) => user.email.endsWith('@acme.example')));
    assert.equal(nextCursor, null);
  });
  test(`${link.name}: input travels, and a row has the wire's names`, async () => {
    const user = await client(link, ACME).users.get.query({ id: OWN });
    assert.deepEqual(Object.keys(user).sort(), ['createdAt', 'email', 'id', 'name', 'role']);
    assert.ok(!Number.isNaN(Date.parse(user.createdAt)));
  });
  test(`${link.name}: a mutation is there for the next query`, async () => {
    const name = `É"'\\ ${Math.random()}`;
    assert.equal((await client(link, ACME).users.update.mutate({ id: OWN, name })).name, name);
    assert.equal((await client(link, ACME).users.get.query({ id: OWN })).name, name);
  });
  test(`${link.name}: errors have tRPC's shape`, async () => {
    await fails(client(link, ACME).users.get.query({ id: FOREIGN }), 'NOT_FOUND', 404);
    const none = await fails(client(link).users.list.query(), 'UNAUTHORIZED', 401);
    assert.equal(none.message, 'No active session - please sign in');
    const bad = await fails(client(link, ACME).users.get.query({ id: 'x' }), 'BAD_REQUEST', 400);
    assert.deepEqual(bad.data.issues[0].path, ['id']);
    await fails(client(link, ACME).no.such.query(), 'NOT_FOUND', 404);
    await fails(client(link, ACME).users.update.query({ id: OWN }), 'METHOD_NOT_SUPPORTED', 405);
  });
  test(`${link.name}: health needs nobody signed in`, async () => {
    assert.equal((await client(link).health.check.query()).checks.database.status, 'up');
    assert.equal((await client(link).health.liveness.query()).alive, true);
  });
}

test('calls of one batch fail alone, and each tenant stays in its own', async () => {
  const both = [client(httpBatchLink, ACME), client(httpBatchLink, GLOBEX)];
  const answers = await Promise.allSettled(both.flatMap((c) => [c.users.list.query(), c.users.get.query({ id: 'x' }), c.tenants.current.query()]));
  assert.deepEqual(answers.map((a) => a.status), ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
  assert.equal(answers[2].value.slug, 'acme');
  assert.equal(answers[5].value.slug, 'globex');
});

test('a batch beyond its bound is refused as a whole', async () => {
  const one = client(httpBatchLink, ACME);
  const answers = await Promise.allSettled(Array.from({ length: 51 }, () => one.users.list.query()));
  assert.ok(answers.every((a) => a.status === 'rejected' && a.reason.data.code === 'BAD_REQUEST'));
});

test('a call that is aborted leaves the server whole', async () => {
  const one = client(httpLink, ACME);
  await Promise.allSettled(Array.from({ length: 20 }, () => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(), Math.random() * 5);
    return one.users.list.query(undefined, { signal: abort.signal });
  }));
  assert.equal((await one.users.list.query()).items.length, 3);
});
