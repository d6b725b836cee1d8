// An incident is parted into two by hand, put together again, and parted once more: each takes the one before back.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launch, openPage, photograph, query, seen, startHalo, until } from '../halo.mjs';

describe('grouping', () => {
  let halo, browser, page, old;
  const post = async (path, body) => {
    const answer = await fetch(`${halo.origin}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    assert.equal(answer.status, 200, `${path}: ${await answer.text()}`);
  };
  const open = async () => {
    const { incidents } = await query(halo.origin, { query: 'snapshot' });
    return incidents.filter((incident) => incident.state !== 'resolved');
  };
  before(async () => {
    halo = await startHalo(['serve', '--otlp-grpc', 'off']);
    browser = await launch();
    page = await openPage(browser);
    await post('/api/command', { command: 'declare_edge', edge: { caller: 'checkout', callee: 'payments' } });
    const alerts = ['checkout', 'payments'].map((service) => ({
      labels: { alertname: 'TooManyErrors', service, severity: 'critical' },
      annotations: { summary: 'one in ten fails' },
    }));
    await post('/api/v2/alerts', alerts);
    old = await until('one incident of both', 30_000, async () => {
      const all = await open();
      return all.length === 1 && all[0].entities === 2 ? all[0].id : null;
    });
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  it('parts one entity from the others', async () => {
    await page.goto(`${halo.origin}/incidents/${old}`);
    await seen(page, 'split-payments').waitFor();
    await photograph(page, 'incident-grouping');
    await seen(page, 'split-payments').click();
    const both = await until('two incidents', 10_000, async () => {
      const all = await open();
      return all.length === 2 ? all : null;
    });
    assert.deepEqual(both.map((incident) => incident.entities), [1, 1]);
  });

  it('puts two together, and takes that back', async () => {
    const other = (await open()).find((incident) => incident.id !== old).id;
    await page.goto(`${halo.origin}/incidents/${other}`);
    await seen(page, `merge-${old}`).click();
    await until('one incident', 10_000, async () => {
      const all = await open();
      return all.length === 1 && all[0].id === old && all[0].entities === 2;
    });
    await seen(page, 'unmerge').click();
    await until('two again', 10_000, async () => (await open()).length === 2);
    await seen(page, `merge-${old}`).waitFor();
  });

  it('complains about nothing', () => assert.deepEqual(page.complaints, []));
});
