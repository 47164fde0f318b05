// Objects, watches, informers, leases, exec and custom resources by @kubernetes/client-node; node_client_test.sh starts the server.
import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const namespace = 'default';

async function eventually(what, probe, seconds = 60) {
    const until = Date.now() + seconds * 1000;
    for (;;) {
        const value = await probe();
        if (value) return value;
        if (Date.now() > until) throw new Error(`not within ${seconds} s: ${what}`);
        await new Promise((r) => setTimeout(r, 50));
    }
}

async function refused(code, promise) {
    await assert.rejects(promise, (e) => e.code === code);
}

const configMap = (name, data) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { by: 'node' } }, data });

const tests = {
    async objects() {
        const made = await core.createNamespacedConfigMap({ namespace, body: configMap('js', { a: 'b' }) });
        assert.ok(made.metadata.uid && made.metadata.creationTimestamp instanceof Date);
        made.data.a = 'c';
        const replaced = await core.replaceNamespacedConfigMap({ namespace, name: 'js', body: made });
        assert.equal(replaced.data.a, 'c');
        await refused(409, core.replaceNamespacedConfigMap({ namespace, name: 'js', body: made }));
        await refused(409, core.createNamespacedConfigMap({ namespace, body: configMap('js') }));
        await refused(404, core.readNamespacedConfigMap({ namespace, name: 'none' }));
        const patched = await core.patchNamespacedConfigMap(
            { namespace, name: 'js', body: [{ op: 'add', path: '/data/x', value: 'y' }] },
            k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.JsonPatch));
        assert.deepEqual(patched.data, { a: 'c', x: 'y' });
        const applied = await core.patchNamespacedConfigMap(
            { namespace, name: 'js-applied', body: configMap('js-applied', { k: 'v' }), fieldManager: 'node' },
            k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.ServerSideApply));
        assert.equal(applied.metadata.managedFields[0].manager, 'node');
        assert.equal(applied.metadata.managedFields[0].operation, 'Apply');
        const list = await core.listNamespacedConfigMap({ namespace, labelSelector: 'by=node', limit: 1 });
        assert.equal(list.items.length, 1);
        assert.ok(list.metadata._continue);
        await core.deleteNamespacedConfigMap({ namespace, name: 'js' });
        await core.deleteNamespacedConfigMap({ namespace, name: 'js-applied' });
    },

    async deployment() {
        const labels = { app: 'js' };
        await apps.createNamespacedDeployment({ namespace, body: { metadata: { name: 'js' }, spec: {
            replicas: 2, selector: { matchLabels: labels },
            template: { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'c8s.io/web:1' }] } } } } });
        const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'js' });
        assert.equal(scale.spec.replicas, 2);
        await apps.deleteNamespacedDeployment({ namespace, name: 'js', propagationPolicy: 'Background' });
    },

    async watch() {
        const seen = [];
        const { metadata } = await core.listNamespacedConfigMap({ namespace });
        const request = await new k8s.Watch(config).watch(`/api/v1/namespaces/${namespace}/configmaps`,
            { resourceVersion: metadata.resourceVersion }, (type, object) => seen.push(`${type} ${object.metadata.name}`), () => {});
        await core.createNamespacedConfigMap({ namespace, body: configMap('watched', {}) });
        await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
        await eventually('the watch saw both', () => seen.length >= 2);
        assert.deepEqual(seen, ['ADDED watched', 'DELETED watched']);
        request.abort();
    },

    async informer() {
        const events = [];
        const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/configmaps`,
            () => core.listNamespacedConfigMap({ namespace }));
        for (const verb of ['add', 'update', 'delete']) informer.on(verb, (o) => events.push(`${verb} ${o.metadata.name}`));
        await informer.start();
        await core.createNamespacedConfigMap({ namespace, body: configMap('informed', { n: '1' }) });
        await eventually('it is in the cache', () => informer.get('informed', namespace));
        await core.patchNamespacedConfigMap({ namespace, name: 'informed', body: { data: { n: '2' } } },
            k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch));
        await eventually('the cache follows', () => informer.get('informed', namespace)?.data.n === '2');
        await core.deleteNamespacedConfigMap({ namespace, name: 'informed' });
        await eventually('it is gone', () => !informer.get('informed', namespace));
        assert.deepEqual(events.filter((e) => e.endsWith('informed')), ['add informed', 'update informed', 'delete informed']);
        await informer.stop();
    },

    // The library has no leader election: what one is made of.
    async lease() {
        const leases = config.makeApiClient(k8s.CoordinationV1Api);
        const lease = { metadata: { name: 'js-leader' }, spec: { holderIdentity: 'a', leaseDurationSeconds: 1, renewTime: new k8s.V1MicroTime() } };
        const candidates = await Promise.allSettled(['a', 'b', 'c'].map((holderIdentity) =>
            leases.createNamespacedLease({ namespace, body: { ...lease, spec: { ...lease.spec, holderIdentity } } })));
        assert.deepEqual(candidates.map((c) => c.status).sort(), ['fulfilled', 'rejected', 'rejected']);
        assert.ok(candidates.every((c) => c.value || c.reason.code === 409));
        const seen = await leases.readNamespacedLease({ namespace, name: 'js-leader' });
        const takers = await Promise.allSettled(['d', 'e', 'f'].map((holderIdentity) => leases.replaceNamespacedLease({ namespace, name: 'js-leader',
            body: { ...seen, spec: { ...seen.spec, holderIdentity, leaseTransitions: 1, renewTime: new k8s.V1MicroTime() } } })));
        const won = takers.filter((t) => t.status === 'fulfilled');
        assert.equal(won.length, 1, 'one of them takes it over');
        assert.ok(takers.every((t) => t.value || t.reason.code === 409));
        const now = await leases.readNamespacedLease({ namespace, name: 'js-leader' });
        assert.equal(now.spec.holderIdentity, won[0].value.spec.holderIdentity);
    },

    // The agent (apiserver_streams_test.py) answers in capitals what the process is told.
    async exec() {
        const out = new PassThrough(), chunks = [];
        out.on('data', (d) => chunks.push(d));
        const run = (command, stdin) => new Promise((resolve, reject) => {
            new k8s.Exec(config).exec(namespace, 'p', 'c', command, out, null, stdin, false, resolve).catch(reject);
        });
        assert.equal((await run(['cat'], Readable.from(['hello ', 'world']))).status, 'Success');
        await eventually('its output is here', () => Buffer.concat(chunks).toString() === 'HELLO WORLD');
        const failure = await run(['exit3'], Readable.from(['x']));
        assert.deepEqual([failure.status, failure.reason, failure.details.causes[0].message], ['Failure', 'NonZeroExitCode', '3']);
    },

    async custom() {
        const extensions = config.makeApiClient(k8s.ApiextensionsV1Api);
        const custom = config.makeApiClient(k8s.CustomObjectsApi);
        const type = { group: 'js.example.com', version: 'v1', namespace, plural: 'towns' };
        await extensions.createCustomResourceDefinition({ body: { metadata: { name: 'towns.js.example.com' }, spec: {
            group: type.group, scope: 'Namespaced', names: { plural: 'towns', singular: 'town', kind: 'Town' },
            versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object',
                properties: { spec: { type: 'object', properties: { size: { type: 'integer', _default: 3 } } } } } } }] } } });
        const town = { apiVersion: 'js.example.com/v1', kind: 'Town', metadata: { name: 'bern' }, spec: {} };
        const made = await eventually('the type is served', () =>
            custom.createNamespacedCustomObject({ ...type, body: town }).catch((e) => { if (e.code !== 404) throw e; }), 5);
        assert.equal(made.spec.size, 3);
        const list = await custom.listNamespacedCustomObject(type);
        assert.equal(list.items.length, 1);
        // A definition that changes ends the watches on its objects: an informer goes on by itself.
        const informer = k8s.makeInformer(config, `/apis/js.example.com/v1/namespaces/${namespace}/towns`,
            () => custom.listNamespacedCustomObject(type));
        let connections = 0;
        informer.on('connect', () => connections++);
        informer.on('error', () => setTimeout(() => informer.start(), 100));
        await informer.start();
        await eventually('the informer has what is there', () => informer.get('bern', namespace));
        const definition = await extensions.readCustomResourceDefinition({ name: 'towns.js.example.com' });
        definition.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.lake = { type: 'string' };
        await extensions.replaceCustomResourceDefinition({ name: 'towns.js.example.com', body: definition });
        await eventually('the new schema is served', async () => {
            const thun = { ...town, metadata: { name: 'thun' }, spec: { lake: 'Thunersee' } };
            const made = await custom.createNamespacedCustomObject({ ...type, body: thun });
            if (made.spec.lake) return true;
            await custom.deleteNamespacedCustomObject({ ...type, name: 'thun' });
        }, 5);
        await eventually('the informer sees what came after', () => informer.get('thun', namespace)?.spec.lake === 'Thunersee');
        assert.ok(connections >= 2, `connected ${connections} times`);
        informer.on('error', () => {});
        await informer.stop();
        await custom.deleteNamespacedCustomObject({ ...type, name: 'bern' });
        await extensions.deleteCustomResourceDefinition({ name: 'towns.js.example.com' });
    },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
    try {
        await test();
        console.log(`ok   ${name}`);
    } catch (e) {
        failed++;
        console.log(`FAIL ${name}: ${e.stack}`);
    }
}
console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
