// Topology, metrics and the wall: what a person looks at while an incident is open.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { firstIncident, launch, openPage, photograph, PATIENCE_MS, query, seen, startDemo } from '../halo.mjs';

describe('explore', () => {
  let halo, browser, page, incident, detail;
  before(async () => {
    halo = await startDemo();
    browser = await launch();
    page = await openPage(browser);
    incident = await firstIncident(halo.origin);
    detail = await query(halo.origin, { query: 'incident', id: incident.id });
  });
  after(async () => {
    await browser?.close();
    await halo?.stop();
  });

  it('draws the topology with the blast radius of an incident', async () => {
    await page.goto(`${halo.origin}/topology?incident=${incident.id}`);
    const graph = page.locator('main canvas, main svg[data-testid="topology"]').first();
    await graph.waitFor();
    assert.ok((await graph.boundingBox()).width > 300, 'the graph has room');
    await page.getByText(incident.id).first().waitFor();
    await page.reload();
    await page.getByText(incident.id).first().waitFor();
  });

  it('drills down to a metric: band, votes and explanation', async () => {
    const member = detail.members[0];
    await page.goto(`${halo.origin}/metrics`);
    await seen(page, 'metric-search').fill(member.metric ?? detail.causes[0].metric);
    await seen(page, 'series-row').first().waitFor();
    await page.goto(`${halo.origin}/metrics/${member.series}`);
    const chart = page.locator('main canvas').first();
    await chart.waitFor();
    assert.ok((await chart.boundingBox()).height > 100, 'the chart has room');
    for (const model of [/stl|seasonal/i, /forest/i, /autoencoder|LSTM/i]) await page.getByText(model).first().waitFor();
    await page.reload();
    await chart.waitFor();
    assert.ok(page.url().endsWith(`/metrics/${member.series}`));
  });

  it('shows the wall without chrome, readable from afar', async () => {
    const wall = await openPage(browser, { viewport: { width: 1920, height: 1080 } });
    await wall.goto(`${halo.origin}/wall`);
    await seen(wall, 'wall').waitFor();
    await seen(wall, 'wall-clock').waitFor();
    assert.equal(await seen(wall, 'nav').count(), 0, 'no navigation');
    await seen(wall, 'wall-incident').first().waitFor({ timeout: PATIENCE_MS });
    const fits = await wall.evaluate(() => document.documentElement.scrollHeight <= window.innerHeight + 1);
    assert.ok(fits, 'nothing to scroll at 1920x1080');
    assert.deepEqual(wall.complaints, []);
    await wall.context().close();
  });

  it('keeps a picture of every page in both themes', async () => {
    const pages = {
      now: '/',
      incidents: '/incidents',
      incident: `/incidents/${incident.id}`,
      topology: `/topology?incident=${incident.id}`,
      metrics: '/metrics',
      metric: `/metrics/${detail.members[0].series}`,
      approvals: '/approvals',
      sources: '/sources',
    };
    for (const colorScheme of ['light', 'dark']) {
      const look = await openPage(browser, { colorScheme, reducedMotion: 'reduce' });
      for (const [name, path] of Object.entries(pages)) {
        await look.goto(`${halo.origin}${path}`);
        await look.locator('main h1').first().waitFor();
        await look.locator('[data-testid="loading"]').first().waitFor({ state: 'detached' });
        await photograph(look, `${name}-${colorScheme}`);
        const overflow = await look.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(overflow <= 0, `${name} is ${overflow} px wider than the window`);
      }
      await look.setViewportSize({ width: 1920, height: 1080 });
      await look.goto(`${halo.origin}/wall`);
      await seen(look, 'wall-clock').waitFor();
      await photograph(look, `wall-${colorScheme}`);
      assert.deepEqual(look.complaints, []);
      await look.context().close();
    }
  });

  it('complains about nothing', () => assert.deepEqual(page.complaints, []));
});
