// The npm package's side of tests/rpc/test_superjson_npm.py. Standard input: a JSON array of superjson texts that Python wrote.
// Standard output: `again`, each of them read and written by the package; and `made`, values that JavaScript makes.
import { readFileSync } from 'node:fs';
import superjson from 'superjson';

const samples = [
  { at: new Date(0), late: new Date(8.64e15 / 100), gone: new Date(NaN) },
  { big: 9007199254740993n, small: 1n, negative: -5n },
  { set: new Set([1, 'a', new Date(5)]), objects: new Set([{ a: new Date(0) }, { a: undefined }]), mixed: new Set([1, true]) },
  { map: new Map([['k', { at: new Date(0) }]]), keyed: new Map([[1, 'x'], [new Date(7), 2n]]), objects: new Map([[{ a: 1 }, new Set([undefined])]]) },
  { undef: undefined, nil: null, nan: NaN, inf: -Infinity, zero: -0 },
  { url: new URL('https://a.example/b?c=d'), pattern: /a\/[b.]/gi, bytes: new Uint8Array([0, 255]), words: new Uint16Array([1, 65535]) },
  { 'a.b': { 'c\\d': new Date(0) }, '': 1n, '0': [new Date(1), [undefined]] },
  new Date(0), undefined, null, 5, 'text', [1n, [2n]], new Map(), new Set(),
  { error: new TypeError('no', { cause: new Date(0) }) },
];
const given = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify({
  again: given.map((text) => superjson.stringify(superjson.parse(text))),
  made: samples.map((value) => superjson.stringify(value)),
}));
