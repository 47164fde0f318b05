// What etcd3_node_test.sh runs: keys, transactions, watches, leases, locks and elections of the Node client `etcd3`.
const assert = require('assert');
const { Etcd3, EtcdLockFailedError } = require('etcd3');

const client = new Etcd3({ hosts: process.argv[2] });
const other = new Etcd3({ hosts: process.argv[2] });

async function keys() {
  await client.put('k/a').value('1');
  await client.put('k/b').value('2');
  assert.strictEqual(await client.get('k/a').string(), '1');
  assert.deepStrictEqual(await client.getAll().prefix('k/').strings(), { 'k/a': '1', 'k/b': '2' });
  assert.deepStrictEqual(await client.getAll().prefix('k/').sort('Key', 'Descend').limit(1).keys(), ['k/b']);
  assert.strictEqual(await client.getAll().prefix('k/').count(), 2);
  assert.strictEqual(await client.get('none'), null);
}

async function transactions() {
  const swap = (from, to) =>
    client.if('k/a', 'Value', '==', from).then(client.put('k/a').value(to)).else(client.get('k/a')).commit();
  assert.strictEqual((await swap('1', 'one')).succeeded, true);
  const second = await swap('1', 'two');
  assert.strictEqual(second.succeeded, false);
  assert.strictEqual(second.responses[0].response_range.kvs[0].value.toString(), 'one');
  await client.stm().transact(async (tx) => tx.put('k/b').value(`${await tx.get('k/a').string()}!`));
  assert.strictEqual(await client.get('k/b').string(), 'one!');
}

async function watches() {
  const watcher = await client.watch().prefix('w/').withPreviousKV().create();
  const seen = [];
  const all = new Promise((done) => {
    watcher.on('put', (kv, previous) => seen.push(['put', kv.key.toString(), previous && previous.value.toString()]));
    watcher.on('delete', (kv, previous) => {
      seen.push(['delete', kv.key.toString(), previous.value.toString()]);
      done();
    });
  });
  await other.put('w/1').value('a');
  await other.put('w/1').value('b');
  await other.delete().key('w/1');
  await all;
  assert.strictEqual(seen.length, 3);
  assert.strictEqual(seen[1][2], 'a');
  assert.deepStrictEqual(seen[2], ['delete', 'w/1', 'b']);
  await watcher.cancel();
}

async function leases() {
  const lease = client.lease(60);
  await lease.put('l/1').value('x');
  assert.strictEqual(await client.get('l/1').string(), 'x');
  await lease.keepaliveOnce();
  await lease.revoke();
  assert.strictEqual(await client.get('l/1'), null);
}

async function locks() {
  const lock = client.lock('lock').ttl(60);
  await lock.acquire();
  await assert.rejects(other.lock('lock').ttl(60).acquire(), EtcdLockFailedError);
  await lock.release();
  assert.strictEqual(await other.lock('lock').ttl(60).do(() => 'held'), 'held');
}

async function elections() {
  const first = client.election('e', 60).campaign('first');
  await new Promise((done, failed) => first.on('elected', done).on('error', failed));
  const observer = await other.election('e', 60).observe();
  if (observer.leader() !== 'first') await new Promise((done) => observer.once('change', done));
  const second = other.election('e', 60).campaign('second');
  const elected = new Promise((done, failed) => second.on('elected', done).on('error', failed));
  await first.resign();
  await elected;
  assert.strictEqual(await client.election('e', 60).leader(), 'second');
  await second.resign();
  await observer.cancel();
}

(async () => {
  for (const part of [keys, transactions, watches, leases, locks, elections]) {
    await part();
    console.log(`ok   ${part.name}`);
  }
  client.close();
  other.close();
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
