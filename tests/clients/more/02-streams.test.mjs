// More of the kit's form: streamed batches, event streams, sockets. The same file runs against the reference server.
import { assert, BASE, batched, collect, decodeJSONL, err, eventually, EventSource, get, input, isError, jsonl, rejects, sleep, sse, sseEvents, stream, streamed, suite, SUPERJSON, superjson, trpc, uid, WebSocket, WS, wsMount, wsOpen } from '../trpc/tests/common.mjs';
const { createTRPCClient, createWSClient, httpLink, httpBatchLink, httpSubscriptionLink, loggerLink, retryLink, splitLink, wsLink } = trpc;
const test = suite('more streams');
const data = (r) => r.json.result.data;

// ---- streamed batches
test('deferred members that fail beside those that come', async () => {
  const r = await jsonl('defer.fails,defer.one,defer.nested,err.code', { 3: { code: 'CONFLICT' } });
  const { value } = decodeJSONL(r.text);
  assert.equal(value[1].result.data.later, 'later');
  assert.deepEqual(value[2].result.data.user.posts, [{ id: 1 }, { id: 2 }]);
  assert.equal(value[0].result.data.ok, 'yes');
  assert.equal(value[0].result.data.bad.$rejected.data.code, 'CONFLICT');
  assert.equal(value[0].result.data.bad.$rejected.data.path, 'defer.fails');
  assert.equal(value[0].result.data.bad.$rejected.data.fields, null);
  isError(value[3], err('CONFLICT', 'err.code'));
});
test('an iterator that fails after two values', async () => {
  const { value } = decodeJSONL((await jsonl('defer.listFails')).text);
  assert.deepEqual(value[0].result.data.$items, ['a', 'b']);
  assert.equal(value[0].result.data.$end.data.code, 'TOO_MANY_REQUESTS');
});
test('an iterator of nothing', async () => {
  const { value } = decodeJSONL((await jsonl('defer.list', { 0: { count: 0 } })).text);
  assert.deepEqual(value[0].result.data, { $items: [], $end: 'return' });
});
test('a hundred values keep their order', async () => {
  const { value } = decodeJSONL((await jsonl('defer.list', { 0: { count: 100 } })).text);
  assert.deepEqual(value[0].result.data.$items, Array.from({ length: 100 }, (_, i) => i));
});
test('every way to fail, in one stream', async () => {
  const r = await jsonl('nope,who.me,greet,err.crash,ping', {});
  assert.equal(r.status, 200);
  const { value } = decodeJSONL(r.text);
  assert.deepEqual(Object.values(value).map((one) => one.error?.data.code ?? one.result.data),
    ['NOT_FOUND', 'UNAUTHORIZED', 'BAD_REQUEST', 'INTERNAL_SERVER_ERROR', 'pong']);
});
for (const accept of ['application/jsonl', 'text/html, application/jsonl', 'application/jsonl,*/*'])
  test(`accept: ${accept}`, async () => {
    const r = await stream('/ping?batch=1', { headers: { accept } });
    assert.equal(decodeJSONL(r.text).value[0].result.data, 'pong');
  });
test('trpc-accept goes before accept', async () => {
  const r = await stream('/ping?batch=1', { headers: { accept: 'application/jsonl', 'trpc-accept': 'application/json' } });
  assert.deepEqual(JSON.parse(r.text), [{ result: { data: 'pong' } }]);
});
test('jsonl without a batch', async () => {
  const r = await stream('/ping', { headers: { 'trpc-accept': 'application/jsonl' } });
  isError(JSON.parse(r.text), err('BAD_REQUEST', undefined, 'Streaming requests must be batched (you can do a batch of 1)'));
});
test('an abort in the middle of an iterator closes it', async () => {
  const key = uid();
  await jsonl('defer.hold', { 0: { key } }, { until: (t) => t.includes('open') });
  await eventually(async () => assert.deepEqual(data(await get('probe', { key })), { opened: 1, closed: 1 }));
});
test('superjson: a stream with rich values at each level', async () => {
  const r = await stream('/types.rich,ping?batch=1', { url: SUPERJSON, headers: { 'trpc-accept': 'application/jsonl' } });
  const { value } = decodeJSONL(r.text, (line) => superjson.deserialize(line));
  assert.equal(value[0].result.data.big, 9007199254740993n);
  assert.deepEqual(value[0].result.data.map.get('k').at, new Date(0));
});

// ---- event streams
for (const [id, first] of [['0', 1], ['2', 3]])
  test(`resuming after ${id}: by header, by parameter, by input`, async () => {
    const want = Array.from({ length: 5 - first }, (_, i) => ({ i: first + i }));
    const of = (r) => sseEvents(r.text).filter((e) => e.id && !e.event).map((e) => JSON.parse(e.data));
    assert.deepEqual(of(await stream('/sub.tracked?' + input({ count: 5 }), { headers: { 'last-event-id': id } })), want);
    assert.deepEqual(of(await stream(`/sub.tracked?lastEventId=${id}&` + input({ count: 5 }))), want);
    assert.deepEqual(of(await stream('/sub.tracked?' + input({ count: 5, lastEventId: id }))), want);
  });
test('an error of input is told in the stream, with its fields', async () => {
  const events = sseEvents((await stream('/sub.count?' + input({ count: 'x' }))).text);
  const e = events.find((one) => one.event === 'serialized-error');
  assert.deepEqual(Object.keys(JSON.parse(e.data).data.fields), ['count']);
  assert.ok(!events.some((one) => one.event === 'return'));
});
test('values of every kind, a line each', async () => {
  const values = ['a\nb\r\nc', '', null, 0, [], {}, 'data: x\n\nevent: return\ndata: \n\n', '\u2028', '😀'];
  const events = sseEvents((await stream('/sub.values?' + input({ values }))).text);
  assert.deepEqual(events.filter((e) => !e.event).map((e) => JSON.parse(e.data)), values);
});
for (const value of ['{', '5', '[]', '{"a":1}'])
  test(`connectionParams that are none: ${value}`, async () => {
    const r = await stream('/sub.me?connectionParams=' + encodeURIComponent(value));
    assert.equal(r.status, 400);
    isError(JSON.parse(r.text), err('PARSE_ERROR', undefined));
  });
test('connectionParams that are refused', async () => {
  const events = sseEvents((await stream('/sub.me?connectionParams=' + encodeURIComponent('{"token":"boom"}'))).text);
  assert.equal(JSON.parse(events.find((e) => e.event === 'serialized-error').data).data.code, 'UNAUTHORIZED');
});
for (const code of ['CONFLICT', 'UNAUTHORIZED', 'TOO_MANY_REQUESTS', 'UNPROCESSABLE_CONTENT'])
  test(`a failure of ${code} ends the link's subscription with what came before`, async () => {
    const r = await collect(sse().sub.fail, { after: 2, code });
    assert.deepEqual(r.data, [0, 1]);
    assert.equal(r.error.data.code, code);
    assert.equal(r.error.data.fields, null);
  });
test('the link comes back with its last id', async () => {
  const key = uid();
  const r = await collect(sse().sub.failOnce, { key }, { timeout: 7000 });
  assert.deepEqual(r.data.map((d) => d.data), [{ connection: 1, resumed: null }, { connection: 2, resumed: 'e1' }]);
});

// ---- sockets
const call = (id, path, value, method = 'query', more = {}) => ({ id, method, params: { path, ...(value === undefined ? {} : { input: value }), ...more } });
for (const id of [0, 1, -1, 1.5, 9007199254740991, '', 'a', '1', 'x'.repeat(1000), '😀'])
  test(`an id comes back as it was: ${JSON.stringify(id).slice(0, 20)}`, async () => {
    const c = await wsOpen();
    c.send(call(id, 'ping'));
    assert.deepEqual(await c.next(), { id, result: { type: 'data', data: 'pong' } });
    c.close();
  });
for (const text of ['', '{', 'null', '5', '"x"', '[null]', '{"id":1}', '{"id":1,"method":"nope","params":{"path":"ping"}}', '{"id":1,"method":"query","params":{"path":5}}', '{"id":1,"method":"query"}', '{"id":1,"jsonrpc":"1.0","method":"query","params":{"path":"ping"}}', 'ping', '[{"id":1,"method":"query","params":{"path":"ping"}},5]'])
  test(`a frame that is none: ${text.slice(0, 60)}`, async () => {
    const c = await wsOpen();
    c.send(text);
    const f = await c.next();
    assert.equal(f.id, null);
    isError(f, err('PARSE_ERROR', undefined));
    await c.none(100);
    c.send(call(2, 'ping')); // and the connection goes on
    assert.equal((await c.next()).result.data, 'pong');
    c.close();
  });
test('an empty array of messages: silence', async () => {
  const c = await wsOpen();
  c.send('[]');
  await c.none(150);
  c.close();
});
test('two messages of one id, both answered', async () => {
  const c = await wsOpen();
  c.send([call(1, 'ping'), call(1, 'echo', 'x')]);
  const both = [await c.next(), await c.next()].map((f) => f.result.data);
  assert.ok(both.includes('pong') && both.some((d) => d.got === 'x'));
  c.close();
});
test('a subscription goes on after lastEventId, in params and in the input', async () => {
  const c = await wsOpen();
  c.send(call(1, 'sub.tracked', { count: 4 }, 'subscription', { lastEventId: '2' }));
  c.send(call(2, 'sub.tracked', { count: 4, lastEventId: '1' }, 'subscription'));
  const of = async (id) => { const found = []; for (;;) { const f = await c.next((x) => x.id === id); if (f.result.type === 'stopped') return found; if (f.result.type === 'data') found.push(f.result.data.id); } };
  assert.deepEqual(await of(1), ['3']);
  assert.deepEqual(await of(2), ['2', '3']);
  c.close();
});
test('an error has the typed fields', async () => {
  const c = await wsOpen();
  c.send(call(1, 'math.add', { a: 1 }));
  assert.deepEqual(Object.keys((await c.next()).error.data.fields), ['b']);
  c.close();
});
test('queries with a path of a batch, of nothing, of an own property', async () => {
  const c = await wsOpen();
  for (const path of ['ping,ping', '', 'constructor', '__proto__', 'a.b', 'ping.'])
    { c.send(call(1, path)); isError(await c.next(), err('NOT_FOUND', path)); }
  c.close();
});
test('a reconnect notice reaches every socket, and the old one is served on', async () => {
  const a = await wsOpen(wsMount('tuned')), b = await wsOpen(wsMount('tuned'));
  a.send(call(1, 'ws.reconnectAll', undefined, 'mutation'));
  const notice = (f) => f.method === 'reconnect';
  assert.deepEqual([(await a.next(notice)).id, (await b.next(notice)).id], [null, null]);
  b.send(call(2, 'ping'));
  assert.equal((await b.next((f) => f.id === 2)).result.data, 'pong');
  a.close(); b.close();
});
test('superjson on a socket: input, data, error', async () => {
  const c = await wsOpen(wsMount('superjson'));
  c.send(call(1, 'echo', superjson.serialize({ at: new Date(7), n: 5n })));
  assert.deepEqual(superjson.deserialize((await c.next()).result.data).got, { at: new Date(7), n: 5n });
  c.send(call(2, 'greet', superjson.serialize({})));
  assert.equal(superjson.deserialize((await c.next()).error).data.code, 'BAD_REQUEST');
  c.close();
});

// ---- links together
test('splitLink, retryLink and loggerLink over the same server', async () => {
  let tries = 0;
  const socket = createWSClient({ url: WS, WebSocket });
  const client = createTRPCClient({ links: [
    loggerLink({ enabled: () => false }),
    retryLink({ retry: ({ error, attempts }) => { tries = attempts; return error.data?.code === 'SERVICE_UNAVAILABLE' && attempts < 3; } }),
    splitLink({ condition: (op) => op.type === 'subscription', true: wsLink({ client: socket }), false: httpBatchLink({ url: BASE }) }),
  ] });
  const e = await rejects(client.err.code.query({ code: 'SERVICE_UNAVAILABLE' }));
  assert.equal(e.data.httpStatus, 503);
  assert.equal(tries, 3);
  assert.deepEqual((await collect(client.sub.count, { count: 3 })).data, [0, 1, 2]);
  await socket.close();
});
test('a URL too long for one batch is several', async () => {
  const client = batched({ maxURLLength: 300 });
  const texts = Array.from({ length: 8 }, (_, i) => 'x'.repeat(60) + i);
  assert.deepEqual((await Promise.all(texts.map((t) => client.echo.query(t)))).map((r) => r.got), texts);
});
test('streamed: what is deferred can be awaited, and fails alone', async () => {
  const r = await streamed().defer.fails.query();
  assert.equal(r.ok, 'yes');
  await assert.rejects(r.bad, /deferred failure/);
});
test('a POST by methodOverride, single and batched', async () => {
  assert.deepEqual(await createTRPCClient({ links: [httpLink({ url: BASE, methodOverride: 'POST' })] }).echo.query({ a: 1 }), { got: { a: 1 } });
  const client = createTRPCClient({ links: [httpBatchLink({ url: BASE, methodOverride: 'POST' })] });
  assert.deepEqual(await Promise.all([client.echo.query('a'), client.math.add.query({ a: 1, b: 2 })]), [{ got: 'a' }, 3]);
});
test('x-trpc-source and other headers reach the procedure', async () => {
  const client = createTRPCClient({ links: [httpBatchLink({ url: BASE, headers: { 'x-trpc-source': 'nextjs-react' } })] });
  assert.equal(await client.req.header.query({ name: 'x-trpc-source' }), 'nextjs-react');
});
