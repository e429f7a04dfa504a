// More of the kit's form: request lines, inputs, content types, batches, uploads, limits. The same file runs against the reference server.
import { assert, batchGet, BASE, err, eventually, get, input, isError, post, raw, STRICT, stream, suite, SUPERJSON, superjson, TUNED, uid } from '../trpc/tests/common.mjs';
const test = suite('more');
const data = (r) => r.json.result.data;
const got = (r) => data(r).got;
const own = (r) => { assert.ok(r.json, r.text); return r; };
const q = (text) => '?input=' + encodeURIComponent(text);

// ---- edge values, in and out
for (const value of [0, -1, 9007199254740991, -9007199254740991, 1.5, 1e21, 1e-7, 5e-324, '', ' ', '\u0000', '\u2028\u2029', '"\\/', 'é😀👩‍👩‍👧‍👦', '%2C,+&=#', true, false, null, [], {}, [null], [[[[[[]]]]]],
  { '': { '': '' } }, { 'a.b': 1, 'a\\.b': 2 }, { constructor: 1, toString: 2, hasOwnProperty: null }, { length: 3 }, { 0: 'a', 1: 'b' }, { json: 1, meta: 2 }, { result: { data: 1 } }]) {
  test(`echo by GET and POST: ${JSON.stringify(value)}`, async () => {
    assert.deepEqual(got(await get('echo', value)), value);
    assert.deepEqual(got(await post('echo', value)), value);
    assert.deepEqual(got(await post('echoMutation', value)), value);
    const batch = await batchGet('echo,echo', { 0: value, 1: [value] });
    assert.deepEqual(batch.json.map((one) => one.result.data.got), [value, [value]]);
  });
}
test('an integer as 1e3 and as 1.0', async () => {
  assert.equal(data(await raw('/math.add' + q('{"a":1e3,"b":-0.0}'))), 1000);
});
test('integers at the bound of what JavaScript holds', async () => {
  assert.equal(data(await get('math.add', { a: 9007199254740991, b: -9007199254740991 })), 0);
  assert.equal(data(await get('math.add', { a: 9007199254740990, b: 1 })), 9007199254740991);
});
test('a quotient is a number', async () => {
  assert.equal(data(await get('math.divide', { a: 1, b: 3 })), 1 / 3);
  assert.equal(data(await get('math.divide', { a: 1e308, b: 1 })), 1e308);
});
test('a name of 100 code points beyond the first plane, and of 101', async () => {
  assert.equal(data(await post('greet', { name: '😀'.repeat(100) })).text, `Hello, ${'😀'.repeat(100)}!`);
  assert.equal((await post('greet', { name: '😀'.repeat(101) })).status, 400);
});
test('every wrong field is named', async () => {
  const r = await get('math.add', { a: 'x' });
  assert.deepEqual(Object.keys(r.json.error.data.fields).sort(), ['a', 'b']);
});
for (const value of [null, [], 'x', 5, true])
  test(`an input of the wrong kind as a whole: ${JSON.stringify(value)}`, async () => {
    const r = await get('greet', value);
    isError(r.json, err('BAD_REQUEST', 'greet'));
    assert.deepEqual(Object.keys(r.json.error.data.fields), ['']);
  });
for (const text of ['{', '[1,]', "{'a':1}", 'undefined', 'NaN', '01', '1 2', '{"a":1}}', '"\n"', '{"a" 1}', 'tru', '\u00a01'])
  test(`JSON that is none: ${JSON.stringify(text)}`, async () => {
    for (const r of [await raw('/echo' + q(text)), await raw('/echoMutation', { method: 'POST', headers: { 'content-type': 'application/json' }, body: text })]) {
      assert.equal(r.status, 400);
      assert.equal(r.json.error.data.code, 'BAD_REQUEST');
      assert.equal(r.json.error.data.fields, null);
    }
    assert.equal(data(await raw('/ping' + q(text))), 'pong');
  });
test('keys that occur twice: the last wins, nested too', async () => {
  assert.deepEqual(got(await raw('/echo' + q('{"a":1,"b":{"c":1,"c":2},"a":3}'))), { a: 3, b: { c: 2 } });
});

// ---- paths
for (const [path, name] of [['%70%69%6e%67', 'ping'], ['pi%6Eg', 'ping'], ['a%2Eb.c%2edeep', 'deep'], ['ping/', 'ping'], ['ping?', 'ping'], ['ping?&&', 'ping'], ['ping?batch', 'ping'], ['ping?batch=', 'ping'], ['ping?batch=0', 'ping'], ['ping?batch=2', 'ping'], ['ping?Batch=1', 'ping']])
  test(`a path that leads somewhere: ${path}`, async () => {
    const r = await raw('/' + path);
    assert.equal(r.status, 200);
    assert.ok(!Array.isArray(r.json));
    assert.equal(data(r), name === 'deep' ? 'deep' : 'pong');
  });
for (const path of ['Ping', 'ping.', '.ping', 'a..b', 'a.b.c', 'a.b.c.deep.x', 'ping.constructor', '__proto__', 'constructor', 'toString', 'ping%00', 'ping%20', 'ping;x', 'caf%C3%A9', '%F0%9F%98%80', 'a%2Fb', 'ping%2525'])
  test(`a path that leads nowhere: ${path}`, async () => {
    const r = own(await raw('/' + path));
    isError(r.json, err('NOT_FOUND', decodeURIComponent(path)));
    assert.equal(r.json.error.message, `No procedure found on path "${decodeURIComponent(path)}"`);
  });
for (const path of ['%', '%zz', '%C3%28', 'ping%', '%E0%A4%A'])
  test(`a path that cannot be decoded: ${path}`, async () => {
    isError((await raw('/' + path)).json, err('BAD_REQUEST', undefined));
    isError((await raw(`/${path}?batch=1`)).json, err('BAD_REQUEST', undefined));
  });

// ---- methods and content types
for (const method of ['PUT', 'PATCH', 'DELETE'])
  for (const [path, allow] of [['ping', 'GET, POST'], ['nothing', 'POST'], ['sub.count', 'GET, POST']])
    test(`${method} ${path}`, async () => {
      const r = await raw('/' + path, { method, headers: { 'content-type': 'application/json' }, body: '{}' });
      assert.equal(r.status, path === 'sub.count' ? r.status : 405);
      if (path !== 'sub.count') { isError(r.json, err('METHOD_NOT_SUPPORTED', path)); assert.equal(r.headers.allow, allow); }
    });
test('HEAD of anything is 204, and nothing runs', async () => {
  for (const path of ['/ping', '/nope', '/counter.increment', '/sub.hold', '/%zz', '/ping,ping?batch=1']) {
    const r = await raw(path, { method: 'HEAD' });
    assert.equal(r.status, 204);
    assert.equal(r.text, '');
  }
});
test('OPTIONS without CORS', async () => isError((await raw('/ping', { method: 'OPTIONS' })).json, err('UNSUPPORTED_MEDIA_TYPE', undefined)));
for (const kind of ['application/json', 'APPLICATION/JSON', 'application/json;charset=utf-8', 'application/json ; charset=UTF-8'])
  test(`content-type ${kind}`, async () => assert.equal(got(await post('echoMutation', 'é', { headers: { 'content-type': kind } })), 'é'));
for (const kind of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml', 'json'])
  test(`content-type ${kind}: 415, for a batch too`, async () => {
    isError((await post('echoMutation', 1, { headers: { 'content-type': kind } })).json, err('UNSUPPORTED_MEDIA_TYPE', undefined));
    isError((await post('nothing,nothing?batch=1', {}, { headers: { 'content-type': kind } })).json, err('UNSUPPORTED_MEDIA_TYPE', undefined));
  });
for (const kind of ['multipart/form-data; boundary=x', 'application/octet-stream'])
  test(`GET of a stream: ${kind}`, async () => {
    const r = await raw('/upload.form', { headers: { 'content-type': kind } });
    assert.equal(r.status, 405);
  });
test('strict: neither batch nor POST of a query', async () => {
  isError((await post('ping', {}, { url: STRICT })).json, err('METHOD_NOT_SUPPORTED', 'ping'));
  isError((await raw('/ping?batch=1', { url: STRICT })).json, err('BAD_REQUEST', undefined, 'Batching is not enabled on the server'));
});
test('strict: an error has a stack, another mount has none', async () => {
  assert.equal(typeof (await raw('/err.crash', { url: STRICT })).json.error.data.stack, 'string');
  assert.equal((await raw('/err.crash')).json.error.data.stack, undefined);
});

// ---- batches
for (const value of ['[]', 'null', '5', '"x"', 'true'])
  test(`a batch input that is no object: ${value}`, async () => {
    const r = await raw(`/echo,ping?batch=1&input=${encodeURIComponent(value)}`);
    assert.equal(r.status, 207);
    assert.equal(r.json[0].error.message, '"input" needs to be an object when doing a batch call');
    assert.equal(r.json[1].result.data, 'pong');
  });
test('a batch of nothing is one call without a name', async () => {
  const r = await raw('/?batch=1');
  assert.equal(r.status, 404);
  assert.equal(r.json[0].error.message, 'No procedure found on path ""');
});
test('positions are decimal: 00 and -1 are none', async () => {
  const r = await raw('/echo,echo?batch=1&input=' + encodeURIComponent('{"00":1,"-1":2,"01":3,"1":"b"}'));
  assert.deepEqual(r.json.map((one) => one.result.data.got), [null, 'b']);
});
test('one type fails wholly, the other by call', async () => {
  isError((await post('counter.increment,who.promote,ping?batch=1', {})).json, err('BAD_REQUEST', undefined));
  const r = await post('who.promote,nope?batch=1', {});
  assert.deepEqual(r.json.map((one) => one.error.data.code), ['UNAUTHORIZED', 'NOT_FOUND']);
});
test('ten that fail alike have their status, with a path each', async () => {
  const r = await raw(`/${Array(10).fill('nope').map((n, i) => n + i).join(',')}?batch=1`);
  assert.equal(r.status, 404);
  assert.deepEqual(r.json.map((one) => one.error.data.path), Array.from({ length: 10 }, (_, i) => 'nope' + i));
});
test('what comes later has no place in a batch that is not streamed', async () => {
  const r = await raw('/defer.one,ping?batch=1');
  assert.deepEqual(r.json.map((one) => one.error?.data.code ?? one.result.data), ['UNSUPPORTED_MEDIA_TYPE', 'pong']);
});
test('a context that is refused is refused to each call', async () => {
  const r = await raw('/ping,nope?batch=1', { headers: { authorization: 'Bearer boom' } });
  assert.deepEqual(r.json.map((one) => one.error.data.code), ['UNAUTHORIZED', 'NOT_FOUND']); // who is not there needs no context
  assert.equal(r.status, 207);
});
test('bad connectionParams fail the whole of a batch', async () => {
  for (const value of ['5', '[]', '{"a":1}', '{', '"x"']) isError((await raw('/ping,ping?batch=1&connectionParams=' + encodeURIComponent(value))).json, err('PARSE_ERROR', undefined));
  assert.equal(data(await raw('/ping?connectionParams=null')), 'pong');
});

// ---- bounds
for (const [size, status] of [[65536, 200], [65537, 413]])
  test(`a body of ${size} bytes: ${status}`, async () => {
    const r = await raw('/echoMutation', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify('x'.repeat(size - 2)) });
    assert.equal(r.status, status);
    const o = await raw('/upload.octet', { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: Buffer.alloc(size) });
    assert.equal(o.status, status);
    if (status === 200) assert.equal(data(o).size, size); else { isError(r.json, err('PAYLOAD_TOO_LARGE', 'echoMutation')); isError(o.json, err('PAYLOAD_TOO_LARGE', 'upload.octet')); }
  });
test('an empty octet body, and a form without parts', async () => {
  assert.equal(data(await raw('/upload.octet', { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: '' })).size, 0);
  const r = await raw('/upload.form', { method: 'POST', headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: '--x--\r\n' });
  assert.deepEqual(data(r), { fields: {}, files: [] });
});
test('an upload is never a batch', async () => {
  const r = await raw('/upload.octet?batch=1', { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: 'ab' });
  assert.equal(data(r).size, 2);
});
test('a form with a name twice, a file between, a name beyond ASCII', async () => {
  const form = new FormData();
  form.append('a', '1'); form.append('a', ''); form.append('č', '2'); form.append('f', new Blob(['x'.repeat(3000)]), 'ž "q".txt');
  const r = await (await fetch(BASE + '/upload.form', { method: 'POST', body: form })).json();
  assert.deepEqual(r.result.data.fields, { a: ['1', ''], č: ['2'] });
  assert.deepEqual(r.result.data.files.map((f) => [f.field, f.name, f.size]), [['f', 'ž "q".txt', 3000]]);
});
test('an abort in the middle reaches the handler, of a batch too', async () => {
  const key = uid();
  const ended = new AbortController();
  const asked = fetch(`${BASE}/hold,hold?batch=1&` + input({ 0: { key, ms: 20000 }, 1: { key, ms: 20000 } }), { signal: ended.signal }).catch(() => 'gone');
  await eventually(async () => assert.equal(data(await get('probe', { key })).opened, 2));
  ended.abort();
  assert.equal(await asked, 'gone');
  await eventually(async () => assert.equal(data(await get('probe', { key })).closed, 2));
});

// ---- superjson
const rich = { date: new Date(1), old: new Date(-62135596800000), big: 2n ** 80n, minus: -(2n ** 64n), set: new Set(['a', 1, new Date(0)]), map: new Map([[1, 'a'], ['k', new Set([1n])]]), undef: undefined, nan: NaN, inf: Infinity, minusInf: -Infinity, deep: [{ at: [new Date(5)] }], 'a.b': new Date(3), 'c\\d': 1n };
for (const [name, value] of Object.entries(rich))
  test(`superjson, there and back: ${name}`, async () => {
    for (const one of [value, [value], { k: value }, { k: { l: [value, value] } }]) {
      const sent = superjson.serialize(one);
      const r = await raw('/echo?input=' + encodeURIComponent(JSON.stringify(sent)), { url: SUPERJSON });
      const back = superjson.deserialize(r.json.result.data);
      assert.deepEqual(back.got, one === undefined ? null : one);
      const p = await post('echo', sent, { url: SUPERJSON });
      assert.deepEqual(superjson.deserialize(p.json.result.data).got, one === undefined ? null : one);
    }
  });
test('superjson: a key with a dot and a backslash', async () => {
  const one = { 'a.b': new Date(3), 'c\\d': 1n, e: { 'f.g\\.h': new Set([1]) } };
  const r = await post('echo', superjson.serialize(one), { url: SUPERJSON });
  assert.deepEqual(superjson.deserialize(r.json.result.data).got, one);
});
for (const meta of [{ values: { __proto__x: ['Date'] } }, { values: { 'constructor.prototype': ['Date'] } }, { values: { a: ['nope'] } }])
  test(`superjson: a meta that fits nothing fails its call, no other: ${JSON.stringify(meta)}`, async () => {
    const r = await raw('/echo,ping?batch=1&input=' + encodeURIComponent(JSON.stringify({ 0: { json: { b: 1 }, meta } })), { url: SUPERJSON });
    assert.equal(r.json[1].result.data.json, 'pong');
  });
test('superjson: an error is encoded whole, with its typed data', async () => {
  const r = await raw('/greet?input=' + encodeURIComponent('{"json":{}}'), { url: SUPERJSON });
  const e = superjson.deserialize(r.json.error);
  assert.equal(e.data.code, 'BAD_REQUEST');
  assert.deepEqual(Object.keys(e.data.fields), ['name']);
});
test('tuned: a streamed batch has its own content type, and pings', async () => {
  const r = await stream('/slow?batch=1&' + input({ 0: { ms: 200 } }), { url: TUNED, headers: { 'trpc-accept': 'application/jsonl' } });
  assert.match(r.headers['content-type'], /^application\/jsonl/);
  assert.ok(r.text.includes(' ['), r.text);
});
